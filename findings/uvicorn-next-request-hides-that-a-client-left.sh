#!/usr/bin/env bash
# uvicorn 0.54.0 (h11 0.16.0): a client that sends its next request while the first one is answered, and
# then goes away, is not noticed.
#
# With nothing behind the request `receive()` returns http.disconnect within a millisecond of the client's
# leaving. A further request (pipelining, RFC 9112 9.3.2) that comes while the application already waits in
# `receive()` makes uvicorn pause reading until the answer is out; who does not read does not see the end
# either, so an application that waits for http.disconnect to stop its work works on to the end.
# What to do: go on reading within a bound (flow.resume_reading() after handle_events of the protocol).
#
# Run by hand: bash findings/uvicorn-next-request-hides-that-a-client-left.sh
# Ends with 0 if it is still so, with 1 if it has changed. Seen on 2026-11-30 (Linux 6.18, Python 3.11.7):
#
#     uvicorn 0.54.0: the client left; its application heard of it
#       with nothing behind the request: True, with one more request behind it: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio, sys
import uvicorn

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 5.0  # that the application works on an answer, unless its client leaves
heard = None


async def works(scope, receive, send):
    global heard
    await receive()  # the request itself

    async def gone():
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), SECONDS)
        heard.set_result(True)
    except TimeoutError:
        heard.set_result(False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def noticed(behind):
    """Whether the application hears that its client left, 0.2 s after it sent this behind a request."""
    global heard
    heard = asyncio.get_running_loop().create_future()
    config = uvicorn.Config(works, port=0, http="h11", loop="asyncio", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    _, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    writer.write(REQUEST)
    await asyncio.sleep(0.2)
    writer.write(behind)
    await asyncio.sleep(0.2)
    writer.close()
    found = await heard
    server.should_exit = server.force_exit = True
    await serving
    return found


alone, behind = asyncio.run(noticed(b"")), asyncio.run(noticed(REQUEST))
print(f"uvicorn {uvicorn.__version__}: the client left; its application heard of it")
print(f"  with nothing behind the request: {alone}, with one more request behind it: {behind}")
if alone and not behind:
    print("as stated: what stands behind the request hides that its client has gone")
else:
    print("this has changed")
    sys.exit(1)
PYTHON
