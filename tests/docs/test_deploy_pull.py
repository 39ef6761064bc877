"""docs/deploy-pull.md: what it tells people to type is typed, against a real server.

Only the proof, which takes half a minute, the service and the watch are left out: they have tests
of their own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.release.site import serving
from tests.release.stores import made

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/deploy-pull.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh run\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TINYTX = f"""#!{sys.executable}
from tinytx.cli.main import main
from tinytx.release import health, prove, watching

def proved(folder, *_, **__):
    facts = dict(seconds=0.0, golden={{}}, rows=[], unproven=[], report=None)
    return prove.Proof(bundle=folder.name, verdict="PASS", **facts)

prove.prove = proved
health.ask = lambda *_, **__: health.Answer(503, {{}}, "")
watching.start = lambda *_, **__: None
main()
"""


def test_what_is_typed_on_both_sides_ends_with_a_release_on_trial(
    tmp_path: Path,
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tinytx").write_text(TINYTX)
    (tmp_path / "bin/tinytx").chmod(0o755)
    made(tmp_path / "data/bundle", "first")
    (tmp_path / "site").mkdir()
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TINYTX_STORE": str(tmp_path / "store"),
    }
    told = []
    with serving(tmp_path / "site") as site:
        for block in BLOCKS:
            typed = block.replace("http://127.0.0.1:8000", site.address)
            done = subprocess.run(
                ["sh", "-ec", typed], cwd=tmp_path, env=environment, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout
            told.append(done.stdout)
    published, checked, pulled = told
    assert published.split()[-4:] == ["files", "manifests", "stable.json", "statements"]
    assert checked.startswith('Good "tinytx-release" signature for me')
    assert "is switched to and being watched" in pulled
    assert "waits: a release is being watched" in pulled
    assert site.asked[-1].status == 304


def test_every_refusal_of_the_page_is_one_that_the_device_gives() -> None:
    code = "".join(path.read_text() for path in (ROOT / "tinytx/release").glob("trust.py"))
    names = {"{ALLOWED_SIGNERS}": "allowed_signers", "{keygen.NAMESPACE}": "tinytx-release"}
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    for name, value in names.items():
        code = code.replace(name, value)
    section = TEXT.partition("## What is refused")[2].partition("\n## ")[0]
    rows = re.findall(r'^\| .+ \| "([^"]+)"', section, re.MULTILINE)
    assert len(rows) == 11
    for row in (*rows, "this device trusts the transport only"):
        assert row in code, row


@pytest.mark.parametrize(("column", "megabytes"), [(1, 84.2), (2, 461.7)])
def test_the_fleets_arithmetic_is_right(column: int, megabytes: float) -> None:
    section = TEXT.partition("## What a fleet costs")[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    figures = {row[0]: float(row[column].replace(",", "")) for row in rows[1:]}
    small, whole, requests, bodies, total = figures.values()
    assert requests == 10_000 * 24
    assert round(((requests - bodies) * small + bodies * whole) / 1e6, 1) == total == megabytes


def test_the_names_of_the_page_are_those_of_the_commands() -> None:
    from tinytx.cli.publish import command as publish
    from tinytx.cli.release.pull import pull
    from tinytx.cli.release.steps import install

    known = {name for each in (publish, pull, install) for o in each.params for name in o.opts}
    for flag in re.findall(r"(?<![\w-])(--[a-z][\w-]+)", TEXT):
        assert flag in known, flag
