"""docs/raspberry-pi.md: what runs on any Linux is run, the rest is at least sound shell and units.

Its blocks: ``sh run`` is run here, ``sh docker`` by tests/docker/test_raspberry_pi.py, ``sh`` needs
a board or the network; ``ini unit NAME`` is a unit of systemd.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of, difference

PAGE = Path(__file__).parents[2] / "docs" / "raspberry-pi.md"
ROOT = PAGE.parents[1]
TEXT = PAGE.read_text("utf-8")

BLOCKS = blocks_of(PAGE)
SHELL = [block for block in BLOCKS if block.kind.partition(" ")[0] == "sh"]
UNITS = {
    block.kind.split()[-1]: block.code for block in BLOCKS if block.kind.startswith("ini unit")
}
HEADINGS = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
TOPICS = [
    "Install Docker", "Without Docker", "A newer bundle", "Reports out of the volume", "governor",
    "Cooling", "`throttled` is reported", "zram", "clock without network time", "Start at boot",
    "64-bit one?",
]  # fmt: skip


@pytest.mark.parametrize("topic", TOPICS)
def test_a_question_of_a_pi_user_has_its_heading(topic: str) -> None:
    assert [heading for heading in HEADINGS if topic in heading]


def test_every_block_says_what_it_is() -> None:
    kinds = {block.kind for block in BLOCKS} - {f"ini unit {name}" for name in UNITS}
    assert kinds == {"sh", "sh run", "sh docker"}
    assert sum(bool(block.printed) for block in BLOCKS) == TEXT.count("<!-- prints -->")
    assert not re.search(r"^    \S", re.sub(r"^```.*?^```$", "", TEXT, flags=re.S | re.M), re.M)


@pytest.mark.parametrize("block", SHELL, ids=[block.first for block in SHELL])
def test_the_shell_understands_the_block(block: Block) -> None:
    for shell in ("bash", "sh"):
        ended = subprocess.run([shell, "-n"], input=block.code, text=True, capture_output=True)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def home(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A folder with two bundles beside each other, and tinytx on the path."""
    for name in ("bundle-1", "bundle-2"):
        shutil.copytree(tiny_bundle, tmp_path / name)
    command = tmp_path / "bin" / "tinytx"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tinytx.cli.main "$@"\n'
    )
    command.chmod(0o755)
    return tmp_path


def shell(home: Path, code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "-e", "-c", code],
        cwd=home, env={"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_runs_on_any_linux_runs_in_order_and_prints_what_the_page_says(home: Path) -> None:
    run = [block for block in SHELL if block.kind == "sh run"]
    assert len(run) >= 5
    for block in run:
        ended = shell(home, block.code)
        assert ended.returncode == 0, (block.code, ended.stderr)
        assert block.printed is None or not difference(block.printed, ended.stdout)
    assert (home / "bundle").readlink() == Path("bundle-2")


def update() -> str:
    """The commands that switch to a newer bundle."""
    (code,) = (b.code for b in SHELL if b.kind == "sh run" and "verify bundle-2" in b.code)
    return code


def test_a_damaged_newer_bundle_leaves_the_old_one_in_use(home: Path) -> None:
    (home / "bundle").symlink_to("bundle-1")
    (home / "bundle-2" / "tokenizer.model").write_bytes(b"cut off")
    assert "bundle-2/tokenizer.model" in shell(home, update()).stderr
    assert (home / "bundle").readlink() == Path("bundle-1")
    assert not (home / "bundle.next").is_symlink()


def test_an_update_puts_no_bundle_inside_another(home: Path) -> None:
    (home / "bundle").symlink_to("bundle-1")
    before = {str(path.relative_to(home)) for path in home.glob("bundle-*/*")}
    assert shell(home, update()).returncode == 0
    assert {str(path.relative_to(home)) for path in home.glob("bundle-*/*")} == before
    copies = re.findall(r"^(?:cp|scp|docker compose cp) .*", TEXT, re.MULTILINE)
    onto = [line for line in copies if re.search(r"[:/]bundle/?$", line)]
    assert onto == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    services = {f"tinytx-{name}.service" for name in ("verify", "serve", "bench")}
    assert set(UNITS) == {*services, "tinytx-bench.timer"}
    command = tmp_path / "tinytx"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for name, text in UNITS.items():
        found = text.replace("/opt/tinytx/env/bin/tinytx", str(command))
        (tmp_path / name).write_text(found)
        assert f"/etc/systemd/system/{name}" in TEXT
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in ended.stderr.splitlines() if "tinytx" in line]
    assert (ended.returncode, ours) == (0, []), ended.stderr


def test_the_bench_of_the_unit_writes_a_report_named_by_its_date(home: Path) -> None:
    """What systemd makes of ExecStart: lines joined, %% for %, words as a shell splits them."""
    (found,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", UNITS["tinytx-bench.service"], re.M)
    (home / "bin" / "tinytx").write_text('#!/bin/sh\necho "$@"\n')
    line = found.replace("\\\n", " ").replace("%%", "%")
    words = shlex.split(line.replace("/opt/tinytx/env/bin/tinytx", str(home / "bin" / "tinytx")))
    said = subprocess.run(
        words, env={"PATH": "/usr/bin:/bin", "STATE_DIRECTORY": "/var/lib/tinytx"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.fullmatch(
        r"bench /opt/tinytx/bundle --quiet --report /var/lib/tinytx/\d{4}-\d\d-\d\d\.json\n", said
    )


def test_the_units_start_commands_that_there_are(home: Path) -> None:
    for name, text in UNITS.items():
        if not name.endswith(".service"):
            continue
        assert "Environment=ORT_DISABLE_TELEMETRY=1" in text
        words = re.findall(r"/opt/tinytx/env/bin/tinytx (\w+)", text)
        flags = re.findall(r" (--[\w-]+)", text)
        told = shell(home, f"tinytx {words[0]} --help").stdout
        assert words[1:] == []
        assert [flag for flag in flags if flag not in told] == []


def test_the_bits_are_those_that_the_bench_reads() -> None:
    from tinytx.measure.machine.throttling import NAMES

    rows = re.findall(r"^\| (\d+) \(`0x(\w+)`\) \| (\d+) \(`0x(\w+)`\)", TEXT, re.MULTILINE)
    assert [int(now) for now, *_ in rows] == list(NAMES)
    for now, hex_now, since, hex_since in rows:
        assert 1 << int(now) == int(hex_now, 16)
        assert 1 << int(since) == int(hex_since, 16)
        assert int(since) == int(now) + 16
