"""A device for tests: `ssh` is a script that runs the remote words here, with a real store."""

import json
import os
import stat
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SSH = r"""#!{python} -S
# ssh [options] -- HOST COMMAND: logs the call, and behaves as HOST's file in FOLDER/hosts says.
import json, os, select, signal, subprocess, sys, time
folder = {folder!r}
host, command = sys.argv[sys.argv.index("--") + 1 :]
plan_path = folder + "/hosts/" + host + ".json"
plans = json.load(open(plan_path)) if os.path.exists(plan_path) else []
meant = [one for one in plans if one.get("in", "") in command and one.get("times", 1) > 0]
plan = meant[0] if meant else {{}}
if plan:
    plan["times"] = plan.get("times", 1) - 1
    json.dump(plans, open(plan_path, "w"))
def log(**facts):
    with open(folder + "/calls", "a") as file:
        file.write(json.dumps({{"host": host, "command": command, **facts}}) + "\n")
if "err" in plan:
    sys.stderr.write(plan["err"])
if "out" in plan:
    sys.stdout.write(plan["out"])
if plan.get("hang"):
    log(passed=0)
    time.sleep(600)
if plan.get("before"):
    log(passed=0)
    sys.exit(plan.get("code", 255))
environment = dict(os.environ, TINYTX_STORE=folder + "/stores/" + host)
out = subprocess.DEVNULL if plan.get("mute") else None
child = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=out, env=environment)
passed, cut = 0, plan.get("cut")
while True:
    chunk = os.read(0, 4096)
    if cut is not None and passed + len(chunk) > cut:
        chunk = chunk[: cut - passed]
        if chunk:
            child.stdin.write(chunk)
            passed += len(chunk)
        child.stdin.close()
        child.wait()
        log(passed=passed)
        sys.stderr.write("client_loop: send disconnect: Broken pipe\n")
        sys.exit(255)
    if not chunk:
        break
    try:
        child.stdin.write(chunk)
        child.stdin.flush()
    except BrokenPipeError:
        break
    passed += len(chunk)
try:
    child.stdin.close()
except BrokenPipeError:
    pass
code = child.wait()
log(passed=passed)
sys.exit(plan.get("code", code))
"""

TINYTX = """#!{python}
# The real command, with a proof that is quick: it says what FOLDER/proof says, or PASS.
import sys
sys.path.insert(0, {root!r})
import dataclasses, os
from tinytx.release import prove

def quick(folder, *arguments, **options):
    from tinytx.bundle import Bundle
    verdict, reason = "PASS", ""
    path = {folder!r} + "/proof-" + os.path.basename(os.environ["TINYTX_STORE"])
    if os.path.exists(path):
        verdict, reason = open(path).read().split(": ", 1)
    return prove.Proof(
        bundle=Bundle(folder).id, verdict=verdict, reason=reason, seconds=0.1, golden={{}}, rows=[],
        exit_code={{"PASS": 0, "FAIL": 7, "INVALID": 8}}[verdict], unproven=[], report=None,
    )

prove.prove = quick
from tinytx.cli.main import main
main()
"""


class Service(BaseHTTPRequestHandler):
    """What `tinytx serve --store` says: /health names what ``current`` names."""

    server: "Answering"

    def do_GET(self) -> None:
        try:
            release = (self.server.store / "current").readlink().name
        except OSError:
            release = ""
        found: dict[str, Any] = {"status": "ok" if release else "empty", "release": release}
        if self.server.problem:
            found["problem"] = self.server.problem
        self._answer(found)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        choices = [{"text": "a word", "finish_reason": "length"}]
        self._answer({"choices": choices, "usage": {"completion_tokens": 4}})

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Answering(ThreadingHTTPServer):
    """The service of a device."""

    store: Path
    problem: str = ""


@dataclass
class Devices:
    """Devices that are folders on this machine, and what was asked of them."""

    folder: Path
    services: dict[str, Answering] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bin", "hosts", "stores"):
            (self.folder / name).mkdir()
        facts = {"python": sys.executable, "folder": str(self.folder), "root": str(ROOT)}
        self._script("ssh", SSH.format(**facts))
        self._script("tinytx", TINYTX.format(**facts))

    def _script(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def file(self) -> Path:
        return self.folder / "devices.toml"

    def add(self, *names: str, lines: str = "", policy: str = "") -> None:
        """Devices of the way "plain" with empty stores."""
        with self.file.open("a") as file:
            for name in names:
                tinytx = self.folder / "bin/tinytx"
                file.write(f'[devices.{name}]\nhost = "{name}"\nway = "plain"\n')
                file.write(f'tinytx = "{tinytx}"\n{lines}\n')
                store = self.folder / "stores" / name
                store.mkdir(exist_ok=True)
                service = self.services[name] = Answering(("127.0.0.1", 0), Service)
                service.store, port = store, service.server_address[1]
                threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
                (store / "device.toml").write_text(
                    f'health = "http://127.0.0.1:{port}"\nwatch_seconds = 1\n'
                    f"deadline_seconds = 20\n{policy}"
                )

    def plan(self, host: str, *plans: dict[str, Any]) -> None:
        """What `ssh HOST` does with the commands that hold "in", so many "times"."""
        (self.folder / f"hosts/{host}.json").write_text(json.dumps(plans))

    def calls(self, word: str = "") -> list[dict[str, Any]]:
        """What was asked so far, in order."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if word in call["command"]]

    def close(self) -> None:
        for service in self.services.values():
            service.shutdown()
            service.server_close()
        for path, _, _ in os.walk(self.folder):
            Path(path).chmod(0o755)
