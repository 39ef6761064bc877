from pathlib import Path
from tests.remote.device import Devices
from tinytx.cli.main import run
import time


def test_x(devices, bundle, capsys):
    devices.add("pi")
    t = time.time()
    code = run(["deploy", "pi", str(bundle)])
    print(code, time.time() - t)
    t = time.time()
    code = run(["deploy", "pi", str(bundle), "--json"])
    print(code, time.time() - t)
    code = run(["devices"])
    code = run(["rollback", "pi"])
    code = run(["devices"])
    for c in devices.calls():
        print(c["passed"], c["command"][-120:])
    assert 0
