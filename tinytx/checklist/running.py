"""What a process does that runs the bundle: does it open a socket, and may libraries report home?

It runs under a filter of the kernel (seccomp) that kills whoever opens a socket, native libraries
included; what ``ORT_DISABLE_TELEMETRY`` says is looked at when onnxruntime is imported, which is
when onnxruntime looks.
"""

import signal
import subprocess
import sys
from pathlib import Path

from tinytx.checklist.items import Found, done, not_done, unknown
from tinytx.errors import DOCTOR

SECONDS = 120.0
NO_FILTER = 77
VARIABLE = "ORT_DISABLE_TELEMETRY"
FILTER = """
import ctypes, os, platform, struct, sys
# the system call "socket" of each machine; "socketpair", inside a family of processes, is another
machines = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
if platform.machine() not in machines:
    sys.exit(77)
machine, call = machines[platform.machine()]
lines = [
    (0x20, 0, 0, 4), (0x15, 0, 3, machine),  # load the machine; of another one: allow
    (0x20, 0, 0, 0), (0x15, 0, 1, call),     # load the call's number
    (0x06, 0, 0, 0x80000000),                # kill the process
    (0x06, 0, 0, 0x7FFF0000),                # allow
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
program = struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
PROGRAM = """
import os, sys
def seen(event, arguments):
    if event == "import" and arguments[0].startswith("onnxruntime.capi."):
        print("telemetry", os.environ.get("ORT_DISABLE_TELEMETRY", ""), flush=True)
sys.addaudithook(seen)
from tinytx import Engine
engine = Engine.load(sys.argv[1], threads=1)
print("text", len("".join(engine.generate("Once", max_tokens=16, seed=1))), flush=True)
"""


def telemetry_and_offline(folder: Path, program: str = PROGRAM) -> tuple[Found, Found]:
    """The items "telemetry" and "offline": one process, run under the filter where there is one."""
    guarded = _run([sys.executable, "-c", FILTER, program, str(folder)])
    filtered = guarded is not None and guarded.returncode != NO_FILTER
    ended = guarded if filtered else _run([sys.executable, "-c", program, str(folder)])
    if ended is None:
        late = unknown(f"the model had said nothing after {SECONDS:g} s")
        return late, late
    return _telemetry(ended), _offline(ended, filtered)


def _run(words: list[str]) -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None


def _telemetry(ended: "subprocess.CompletedProcess[str]") -> Found:
    lines = [line.removeprefix("telemetry ") for line in ended.stdout.splitlines()
             if line.startswith("telemetry")]  # fmt: skip
    if not lines:
        return unknown(f"onnxruntime was not imported: {_last(ended)}")
    wrong = [value for value in lines if value.strip().lower() not in ("1", "true")]
    if wrong:
        return not_done(f"{VARIABLE} was {wrong[0]!r} when onnxruntime was imported: unset it")
    return done(f"{VARIABLE} was {lines[0]} before onnxruntime was imported")


def _offline(ended: "subprocess.CompletedProcess[str]", filtered: bool) -> Found:
    if filtered and ended.returncode == -signal.SIGSYS:
        return not_done("a process that ran it opened a socket, and was killed for that")
    if ended.returncode != 0 or "text" not in ended.stdout:
        return unknown(f"it could not be run: {_last(ended)}")
    if not filtered:
        return unknown("this kernel or processor has no filter for system calls (seccomp)")
    return done("a text was made under a filter that kills whoever opens a socket")


def _last(ended: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"it ended with {ended.returncode}; {DOCTOR}"
