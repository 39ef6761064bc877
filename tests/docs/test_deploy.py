"""docs/deploy.md: a first deployment, typed as the page says, to devices behind a fake ssh.

tests/docker types the same page to containers with a real OpenSSH server.
"""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.deploying import PAGE, SERVER, SUDO, workplace
from tests.docs.running import KINDS, ROOT, execute, programs, understood
from tests.release.site import serving
from tests.remote.conftest import devices
from tests.remote.device import Devices
from tinytx import errors
from tinytx.checklist.items import ITEMS
from tinytx.cli.bench.command import command as bench
from tinytx.cli.checklist import command as checklist
from tinytx.cli.deploy.command import command as deploy
from tinytx.cli.devices import command as devices_command
from tinytx.cli.publish import command as publish
from tinytx.cli.release.pull import pull
from tinytx.cli.release.steps import prove
from tinytx.cli.rollback import command as rollback
from tinytx.release import recover
from tinytx.release.states import STATES

__all__ = ["devices"]
SSH = """#!/bin/sh
# `ssh HOST COMMAND`, as people type it, too
case " $* " in *" -- "*) exec {ssh} "$@" ;; esac
host=$1
shift
exec {ssh} -- "$host" "$*"
"""


@pytest.mark.long
def test_the_page_is_typed_in_its_order_and_prints_what_it_says(
    devices: Devices, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYTX_DEVICES")
    monkeypatch.delenv("TINYTX_STORE", raising=False)
    devices.add("pi", "spare")
    unknown = "ssh: Could not resolve hostname attic: Name or service not known\n"
    devices.plan("attic", {"before": True, "err": unknown, "times": 9})
    commands = programs(tmp_path / "programs")
    there = devices.folder / "bin/tinytx"
    for name, text in {
        "ssh": SSH.format(ssh=devices.folder / "bin/ssh"),
        "sudo": SUDO.format(command=f'shift\nexec {there} "$@"'),
    }.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    folder = workplace(tmp_path / "work", tiny_bundle)
    with serving(folder / "site") as site:
        assert execute(PAGE, folder, commands, {SERVER: site.address}) >= 8


def test_every_block_says_what_it_is_and_a_shell_understands_it() -> None:
    for block in blocks_of(PAGE):
        assert KINDS.fullmatch(block.kind), (block.line, block.kind)
        assert list(understood(block)) == [], block.line


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table whose first heading is that."""
    lines = PAGE.read_text("utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_table_of_states_has_every_state_in_its_order() -> None:
    assert [row[0] for row in table("state")] == list(STATES)


def test_the_table_of_items_has_all_of_them() -> None:
    assert [int(row[0].split()[0]) for row in table("item")] == list(range(1, len(ITEMS) + 1))


def test_the_reasons_and_the_exit_codes_of_the_page_are_those_of_the_code() -> None:
    assert f'"{recover.DIED}"' in PAGE.read_text("utf-8")
    codes = {kind.exit_code for kind in errors.TinytxError.__subclasses__()} - {70}
    told = [int(row[0]) for row in table("exit code")]
    assert told == sorted(told)
    assert set(told) - {0} <= codes
    release = (errors.BudgetFailed, errors.MeasurementInvalid, errors.BundleError)
    assert {kind.exit_code for kind in (*release, errors.DeviceError)} <= set(told)


def test_the_flags_of_the_page_are_those_of_the_commands() -> None:
    commands = (deploy, rollback, devices_command, checklist, publish, pull, prove, bench)
    known = {name for each in commands for o in each.params for name in o.opts}
    known |= set(re.findall(r"--[a-z][\w-]+", (ROOT / "deploy/prepare.sh").read_text("utf-8")))
    text = re.sub(r"(?m)^(python3|ssh|-) .*$", "", PAGE.read_text("utf-8"))
    flags = set(re.findall(r"(?<![\w-])(--[a-z][\w-]+)", text))
    assert len(flags) > 10
    assert flags - known - {"--directory", "--no-deps"} == set()  # of http.server and pip
