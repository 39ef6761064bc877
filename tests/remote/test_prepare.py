"""A device is set up from here: what is fetched, what is sent, what runs there."""

import hashlib
import importlib.metadata
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.remote.device import Devices
from tinytx.cli.main import run
from tinytx.errors import DeviceError
from tinytx.remote import prepare, wheels
from tinytx.remote.run import Ended

PREPARE_SH = """#!/bin/sh
here=$(dirname "$0")
printf 'prepare: told %s\\n' "$*"
while [ "$#" -gt 0 ]; do
    if [ "$1" = --wheels ]; then ls "$2"; fi
    shift
done
cat "$here/units/one.service"
if [ -n "${PREPARE_LACKS:-}" ]; then echo "prepare: $PREPARE_LACKS" >&2; exit 1; fi
echo 'prepare: done'
"""


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepare.sh that only says what it was told; wheels that nobody fetches."""
    folder = tmp_path / "deploy"
    (folder / "units").mkdir(parents=True)
    (folder / "prepare.sh").write_text(PREPARE_SH)
    (folder / "units/one.service").write_text("[Service]\n")

    def own_wheel(place: Path) -> Path:
        path = place / "tinytx-0-py3-none-any.whl"
        path.write_text("wheel")
        return path

    def download(wheel: Path, place: Path, machine: str, python: str, libc: str) -> None:
        (place / f"numpy-{machine}-{python.count('.')}-{libc[:2]}.whl").write_text("wheel")

    monkeypatch.setattr(prepare, "deploy_folder", lambda: folder)
    monkeypatch.setattr(wheels, "own_wheel", own_wheel)
    monkeypatch.setattr(wheels, "download", download)
    return folder


def device(devices: Devices, way: str, lines: str = "") -> None:
    devices.file.write_text(f'[devices.pi]\nhost = "pi"\nway = "{way}"\n{lines}\n')


@pytest.fixture
def sudo(devices: Devices) -> None:
    """For who is not root: the command as it is, after ``-n``."""
    path = devices.folder / "bin/sudo"
    path.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    path.chmod(0o755)


def test_wheels_for_the_device_and_the_scripts_are_sent_and_run_as_the_file_says(
    devices: Devices, deploy: Path, sudo: None, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "systemd", 'class = "pi-4"\nbudgets = "stretch"\ngroup = "kitchen"')
    assert run(["deploy", "--prepare", "pi"]) == 0
    err = capsys.readouterr().err
    told = next(line for line in err.splitlines() if line.startswith("pi: told"))
    assert "--way systemd --class pi-4 --budgets stretch --group kitchen --wheels /" in told
    assert "--ssh-user " in told
    assert "pi: tinytx-0-py3-none-any.whl" in err
    assert "pi: numpy-" in err
    assert "pi: [Service]" in err
    assert err.splitlines()[-1] == "pi: done"


def test_the_way_of_compose_needs_no_wheels_and_asks_for_no_python(
    devices: Devices, deploy: Path, sudo: None, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "compose")
    assert run(["deploy", "--prepare", "pi"]) == 0
    assert "--wheels" not in capsys.readouterr().err
    assert len(devices.calls()) == 1


def test_what_the_device_lacks_is_said_in_its_own_words(
    devices: Devices, deploy: Path, sudo: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    device(devices, "compose")
    monkeypatch.setenv("PREPARE_LACKS", "there is no docker")
    assert run(["deploy", "--prepare", "pi"]) == 10
    assert "tinytx: pi: there is no docker\n" in capsys.readouterr().err


def test_a_device_without_sudo_is_told_that_root_is_needed(
    devices: Devices, deploy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell's own words begin as prepare.sh's do: `prepare: 7: sudo: not found`."""
    device(devices, "compose")
    said = "prepare: 7: sudo: not found\n"
    devices.plan("pi", {"before": True, "code": 127, "err": said})
    assert run(["deploy", "--prepare", "pi"]) == 10
    err = capsys.readouterr().err
    assert "pi: preparing needs root there: prepare: 7: sudo: not found" in err
    assert 'host = "root@HOST"' in err


def test_a_preparation_that_was_cut_off_is_no_success(
    devices: Devices, deploy: Path, sudo: None, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "compose")
    devices.plan("pi", {"mute": True, "code": 0})
    assert run(["deploy", "--prepare", "pi"]) == 10


def test_another_processor_than_the_file_says_is_refused_before_a_wheel_is_fetched(
    devices: Devices, deploy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "systemd", 'platform = "linux/arm64"')
    probe = '{"schema": 1, "system": "linux", "architecture": "riscv64", "python": "3.11.2", '
    probe += '"implementation": "cpython", "libc": "2.36"}'
    devices.plan("pi", {"in": "python3", "before": True, "code": 0, "out": probe})
    assert run(["deploy", "--prepare", "pi"]) == 10
    assert "pi is riscv64, not linux/arm64" in capsys.readouterr().err
    devices.plan(
        "pi", {"in": "python3", "before": True, "code": 0, "out": probe.replace("3.11.2", "3.9.2")}
    )
    device(devices, "systemd")
    assert run(["deploy", "--prepare", "pi"]) == 10
    assert "has Python 3.9.2; 3.11 is the oldest" in capsys.readouterr().err


def test_a_device_without_python_is_told(
    devices: Devices, deploy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "systemd")
    said = "bash: line 1: python3: command not found\n"
    devices.plan("pi", {"in": "python3", "before": True, "code": 127, "err": said})
    assert run(["deploy", "--prepare", "pi"]) == 10
    assert "there is no Python on pi" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [('class = "pi-9"', "no device is called 'pi-9'"), ('budgets = "none"', "no budgets of this")],
)
def test_a_class_or_budgets_that_nobody_knows_are_wrong_usage(
    devices: Devices, deploy: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    device(devices, "systemd", line)
    assert run(["deploy", "--prepare", "pi"]) == 64
    assert says in capsys.readouterr().err
    assert devices.calls() == []


def test_a_dry_run_of_a_preparation_runs_nothing(
    devices: Devices, deploy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device(devices, "systemd")
    assert run(["deploy", "--prepare", "pi", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "prepare.sh" in out
    assert "python3 -c" in out
    assert devices.calls() == []


def test_the_parcel_names_nobody_of_this_machine(tmp_path: Path, deploy: Path) -> None:
    (tmp_path / "wheels").mkdir()
    prepare._pack(tmp_path / "parcel.tar", deploy, tmp_path / "wheels")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "parcel.tar").read_bytes())) as archive:
        assert {(entry.uid, entry.uname) for entry in archive} == {(0, "root")}
        assert "deploy/prepare.sh" in archive.getnames()


def test_a_glibc_takes_the_wheels_of_its_own_version_and_of_older_ones() -> None:
    assert wheels.platform_tags("aarch64", "2.19") == [
        "manylinux_2_19_aarch64",
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]
    with pytest.raises(DeviceError, match="not glibc"):
        wheels.platform_tags("aarch64", "")


def test_pips_refusal_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "WARNING: x\nERROR: No matching distribution found for numpy\nWARNING: y\n"
    monkeypatch.setattr(wheels, "run", lambda *words, **options: Ended(code=1, err=said))
    with pytest.raises(DeviceError, match=r"aarch64 and Python 3.11: No matching distribution"):
        wheels.download(Path("/x.whl"), Path("/there"), "aarch64", "3.11.2", "2.36")


def test_the_installed_wheel_is_packed_again_and_pip_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another package of one's own: tinytx itself is a checkout here."""
    monkeypatch.setattr(wheels, "NAME", "click")
    path = wheels._packed(tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith("RECORD"))
        lines = archive.read(record).decode().splitlines()
        assert len(lines) == len(names)
        assert "click/core.py" in names
        assert not [name for name in names if name.endswith((".pyc", "INSTALLER"))]
    target = tmp_path / "target"
    pip = ["python3", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    done = subprocess.run([*pip, str(target), str(path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    here = Path(str(importlib.metadata.distribution("click").locate_file("click/core.py")))
    digest = hashlib.sha256(here.read_bytes()).hexdigest()
    assert hashlib.sha256((target / "click/core.py").read_bytes()).hexdigest() == digest
