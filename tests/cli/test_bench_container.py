"""``tinytx bench --container``: flags go in, the report is shown, written and judged outside."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tinytx.cli.main import run
from tinytx.errors import PrerequisiteError
from tinytx.measure.limits.confinement import ContainerFacts, limits_for
from tinytx.measure.record.reading import read_report
from tinytx.measure.run import container
from tinytx.measure.run.container import Request

STORED = Path(__file__).parents[1] / "fixtures" / "report-1.json"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What benches in containers were asked for; each gives the stored report."""
    requests: list[Request] = []

    def measured(request: Request, budgets: Any, device: Any) -> Any:
        requests.append(request)
        limits = limits_for(device, budgets, 2)
        facts = ContainerFacts(engine="Docker 1", image="a:b", image_id="sha256:1", limits=limits)
        return msgspec.structs.replace(read_report(STORED), container=facts)

    monkeypatch.setattr(container, "bench_in_container", measured)
    return requests


def test_every_measuring_flag_goes_into_the_container(asked: list[Request], tmp_path: Path) -> None:
    few = tmp_path / "few.toml"
    few.write_text("[next_token]\nfirst_look = 90\n")
    flags = ["--threads", "2", "--precision", "int8", "--time-limit", "7", "--why"]
    flags += ["--budgets", "stretch", "--device", "pi-5", "--scenarios", str(few)]
    assert run(["bench", "x", "--container", "--image", "mine:tag", *flags]) == 0
    (request,) = asked
    assert request.image == "mine:tag"
    assert " ".join(request.options) == "--time-limit 7 --threads 2 --precision int8 --why"
    assert {option: path.name for option, path in request.files.items()} == {
        "--budgets": "stretch.toml", "--scenarios": "few.toml", "--device": "pi-5.toml",
    }  # fmt: skip


def test_without_flags_this_installations_policy_goes_in(asked: list[Request]) -> None:
    assert run(["bench", "x", "--container", "--quiet"]) == 0
    (request,) = asked
    assert request.image == "tinytx:runtime" == container.IMAGE
    assert {option: path.name for option, path in request.files.items()} == {
        "--budgets": "constitution.toml", "--scenarios": "scenarios.toml",
    }  # fmt: skip
    assert all(path.is_file() for path in request.files.values())


def test_the_report_is_shown_and_written_and_tells_of_the_container(
    asked: list[Request], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / f"r.{kind}" for kind in ("report", "html", "markdown")}
    named = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    arguments = ["bench", "x", "--container", "--device", "pi-zero-2w", "--json", *named]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    held = "measured in a container of a:b (sha256:1) on Docker 1: 512 MB of memory"
    assert held in err
    assert held in files["html"].read_text()
    assert "measured in a container of a&#58;b" in files["markdown"].read_text()
    assert "--container --image a:b" in files["html"].read_text()
    assert json.loads(out) == json.loads(files["report"].read_text())
    assert json.loads(out)["container"]["limits"]["cores"] == 2
    again = tmp_path / "again.html"
    assert run(["report", str(files["report"]), "--html", str(again)]) == 0
    assert held in capsys.readouterr().err
    assert again.read_text() == files["html"].read_text()


def test_an_error_in_the_container_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PrerequisiteError("no Docker engine answers", "start it")

    monkeypatch.setattr(container, "bench_in_container", refuse)
    path = tmp_path / "r.json"
    assert run(["bench", "x", "--container", "--report", str(path)]) == 1
    assert "no Docker engine answers\n  -> start it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_compare_warns_of_a_container_on_one_side(
    asked: list[Request], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    assert run(["bench", "x", "--container", "--report", str(path), "--quiet"]) == 0
    run(["compare", str(STORED), str(path)])
    assert "container 'none' and 'a:b, 512 MB" in capsys.readouterr().err.replace("\n", " ")
