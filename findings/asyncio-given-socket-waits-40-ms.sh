#!/usr/bin/env bash
# Python 3.11 asyncio (here under uvicorn 0.54.0): a server that is given a listening socket answers each
# request on a kept connection 40 ms later than one that made its socket itself.
#
# asyncio sets TCP_NODELAY on accepted connections only if their socket's protocol number is that of TCP
# (6). A socket of getaddrinfo's making has it; one made by socket.socket(AF_INET, SOCK_STREAM), by
# socket.create_server or taken over from systemd (socket.socket(fileno=3), uvicorn --fd) says 0, though
# it is the same TCP. Then head and body of an answer, written one after the other, meet Nagle's
# algorithm, and the body waits for the client's delayed acknowledgement.
# What to do: set TCP_NODELAY on the listening socket; accepted ones inherit it on Linux.
#
# Run by hand: bash findings/asyncio-given-socket-waits-40-ms.sh
# Ends with 0 if it is still so, with 1 if it has changed. Seen on 2026-11-30 (Linux 6.18, Python 3.11.7):
#
#     Python 3.11.7, uvicorn 0.54.0, a request on a kept connection:
#       a socket of its own 0.1 ms, one given to it 44.0 ms, the same with TCP_NODELAY 0.1 ms
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio, socket, statistics, sys, time
import uvicorn


async def hello(scope, receive, send):
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def median(held=None):
    """Milliseconds of a request on a kept connection."""
    config = uvicorn.Config(hello, port=0, http="h11", loop="asyncio", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[held] if held else None))
    while not server.started:
        await asyncio.sleep(0.01)
    address = (held or server.servers[0].sockets[0]).getsockname()
    reader, writer = await asyncio.open_connection(*address[:2])
    times = []
    for _ in range(21):
        begin = time.perf_counter()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"hello")
        times.append(1e3 * (time.perf_counter() - begin))
    writer.close()
    server.should_exit = True
    await serving
    return statistics.median(times)


def listening(nodelay):
    made = socket.create_server(("127.0.0.1", 0))
    if nodelay:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


own = asyncio.run(median())
given = asyncio.run(median(listening(False)))
mended = asyncio.run(median(listening(True)))
print(f"Python {sys.version.split()[0]}, uvicorn {uvicorn.__version__}, a request on a kept connection:")
print(f"  a socket of its own {own:.1f} ms, one given to it {given:.1f} ms, "
      f"the same with TCP_NODELAY {mended:.1f} ms")
if given > 20.0 > max(own, mended):
    print("as stated: only the given socket without TCP_NODELAY waits")
else:
    print("this has changed")
    sys.exit(1)
PYTHON
