"""A device as a virtual machine: every scenario of scenarios.py, then losses of power. One command.

    sudo apt install mmdebstrap qemu-system-x86
    sudo python tests/vm/run.py --bundle data/bundle

The Python needs tinytx (``pip install -e .``) and pip; wheels for the device are fetched once. What
is made lies in ``$XDG_CACHE_HOME/tinytx/vm``. Emulated, it takes an hour and a half on two cores,
and 1 GB of memory. ``--only`` without a name leaves the losses alone; a small bundle, as
``quickstart`` with a small model makes it, brings more of them into an hour. Exit codes: 0 all as
it should be; 1 not; 69 this machine cannot do it.
"""

import argparse
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from device import ROOT, Device
from losses import losses
from machine import PORT, Machine, build
from scenarios import BEFORE, LAST

PYTHON = {"trixie": "3.13", "bookworm": "3.11"}
TAGS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle as export writes it")
    parser.add_argument("--suite", choices=sorted(PYTHON), default="trixie", help="Debian's")
    parser.add_argument("--losses", type=int, default=20, help="of power (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the instants (1)")
    parser.add_argument("--minutes", type=float, default=600, help="begin no further loss later")
    parser.add_argument("--seconds", type=float, default=0, help="of a deployment, if known")
    parser.add_argument("--port", type=int, default=PORT, help=f"of its SSH here ({PORT})")
    parser.add_argument("--only", nargs="*", default=None, help="these scenarios, by name")
    parser.add_argument(
        "--keep", action="store_true", help="go on with the last run's disk and wheels"
    )
    return parser.parse_args()


def wheels(folder: Path, suite: str) -> Path:
    """A folder ``wheels`` for the device: the checkout's own, made anew, and what it needs."""
    target = folder / "wheels"
    target.mkdir(exist_ok=True)
    for old in target.glob("tinytx-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(target), str(ROOT)], check=True)
    (own,) = target.glob("tinytx-*.whl")
    platforms = [word for tag in TAGS for word in ("--platform", tag)]
    subprocess.run(
        [
            *pip, "download", "--only-binary=:all:", "--python-version", PYTHON[suite], *platforms,
            "--dest", str(target), "pip", f"tinytx[serve] @ {own.as_uri()}",
        ],
        check=True,
    )  # fmt: skip
    return target


def main() -> int:
    options = arguments()
    if shutil.which("qemu-system-x86_64") is None:
        print("vm: there is no qemu-system-x86_64: apt install qemu-system-x86", file=sys.stderr)
        return 69
    began = time.monotonic()
    try:
        built = build(options.suite)
    except subprocess.CalledProcessError as error:
        print(error.stderr, end="", file=sys.stderr)
        return int(error.returncode)
    work = built.parent / f"work-{options.suite}-{options.port}"
    work.mkdir(exist_ok=True)
    machine = Machine(built, work, options.port)
    kept = options.keep and machine.disk.exists()
    device = Device(
        machine, options.bundle, work / "wheels" if kept else wheels(work, options.suite)
    )
    if not kept:
        machine.fresh()
    try:
        print(f"up after {machine.start():.0f} s", flush=True)
        device.send_inside()
        good = all([run(scenario, device, options.only) for scenario in BEFORE])
        if options.losses:
            good = power(device, options, began) and good
        good = all([run(scenario, device, options.only) for scenario in LAST]) and good
    finally:
        machine.lose_power()
    print(f"{(time.monotonic() - began) / 60:.0f} minutes, {machine.boots} starts")
    return 0 if good else 1


def run(scenario: object, device: Device, only: list[str] | None) -> bool:
    name = scenario.__name__  # type: ignore[attr-defined]
    if only is not None and name not in only:
        print(f"left out: {name}", flush=True)
        return True
    began = time.monotonic()
    try:
        seen = scenario(device)  # type: ignore[operator]
    except Exception:
        traceback.print_exc()
        print(f"NOT SO  {name} ({time.monotonic() - began:.0f} s)", flush=True)
        return False
    print(f"so      {name} ({time.monotonic() - began:.0f} s): {seen}", flush=True)
    return True


def power(device: Device, options: argparse.Namespace, began: float) -> bool:
    """The losses, one after the other."""
    until = began + 60 * options.minutes
    try:
        seen = losses(device, options.losses, options.seed, until, options.seconds)
    except Exception:
        traceback.print_exc()
        print("NOT SO  loss of power", flush=True)
        return False
    new = sum(row["settled"] == "new" for row in seen)
    print(f"so      {len(seen)} losses of power: old {len(seen) - new}, new {new}, all whole")
    return True


if __name__ == "__main__":
    sys.exit(main())
