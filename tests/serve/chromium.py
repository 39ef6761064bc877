"""Debian's Chromium without a screen, driven over its own DevTools protocol through two pipes: no
driver and no package is needed (https://chromedevtools.github.io/devtools-protocol/)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
WAIT = 20.0


def find() -> str | None:
    """Where Chromium is, if it is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def started(request: pytest.FixtureRequest, folder: Path) -> Iterator["Chromium"]:
    """A browser for a test marked ``browser``; it skips where none is, unless they are wanted."""
    wanted = "TINYTX_BROWSER_TESTS" in os.environ
    if not wanted and "browser" not in request.config.getoption("markexpr"):
        pytest.skip("takes half a minute: run with -m browser")
    program = find()
    if program is None:
        why = "needs Debian's package chromium"
        if wanted:
            pytest.fail(why)
        pytest.skip(why)
    tab = Chromium(program, folder)
    try:
        yield tab
    finally:
        tab.close()


class Chromium:
    """One browser with one tab. Everything that the tab asks of any network is in ``requests``,
    everything it complains of in ``complaints``."""

    def __init__(self, program: str, folder: Path) -> None:
        """``folder``: for its profile, new and empty."""
        self._read, to_write = os.pipe()
        to_read, self._write = os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_read, to_write)]
        joined = f'exec "$0" "$@" 3<&{theirs[0]} 4>&{theirs[1]}'  # it reads 3 and writes 4
        self._process = subprocess.Popen(
            ["bash", "-c", joined, program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (to_read, to_write, *theirs):
            os.close(fd)
        self._buffer, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its result; what happens meanwhile is noted."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        end = time.monotonic() + WAIT
        while True:
            said = self._message(end)
            if said.get("id") == self._number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self._note(said)

    def _message(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(end - time.monotonic(), 0))
            assert ready, f"Chromium said nothing for {WAIT} s"
            more = os.read(self._read, 1 << 20)
            assert more, "Chromium has gone"
            self._buffer += more
        one, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(one)
        return found

    def _note(self, said: dict[str, Any]) -> None:
        method, told = said.get("method"), said.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def reload(self) -> None:
        self.evaluate("window.isOld = true")
        self.call("Page.reload")
        self.until("!window.isOld && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until the expression is true; returns its value."""
        return self._until(lambda: self.evaluate(expression), expression)

    def _until(self, look: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + WAIT
        while not (value := look()):
            assert time.monotonic() < end, f"not within {WAIT} s: {what}"
            time.sleep(0.02)
        return value

    def text(self, name: str) -> str:
        """Of the element with that id."""
        return str(self.evaluate(f"document.getElementById({json.dumps(name)}).textContent"))

    def type(self, name: str, text: str) -> None:
        """Into the field with that id, in place of what is in it, as a user would."""
        field = f"document.getElementById({json.dumps(name)})"
        self.evaluate(f"{field}.closest('details')?.setAttribute('open', '')")
        self.evaluate(f"{field}.focus(); {field}.select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.key("Backspace", 8)

    def key(self, key: str, code: int, *, control: bool = False) -> None:
        """Press and release a key; ``code`` is its Windows virtual key code."""
        told = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def click(self, name: str) -> None:
        """In the middle of the element with that id."""
        found = f"document.getElementById({json.dumps(name)})"
        self.evaluate(f"{found}.scrollIntoView()")
        box = self.evaluate(f"{found}.getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """How wide the window is, in CSS pixels, and whether its user likes it dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def picture(self, path: Path) -> None:
        """Of the whole page, as a PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
