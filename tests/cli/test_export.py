"""``tinytx export`` from the outside."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.bundle import Bundle
from tinytx.cli.main import run
from tinytx.packages import requirement

FLOAT = ["--precision", "float32"]


@pytest.fixture
def output(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "out"))


def test_an_export_is_told_and_a_second_one_says_that_it_was_skipped(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(output / "bundle")
    assert run(["export", *FLOAT, "--output-dir", str(output)]) == 0
    out, err = capsys.readouterr()
    opened = Bundle(output / "bundle")
    parity = opened.manifest.parity
    assert out == ""
    assert "skipped" not in err
    assert f"bundle {opened.id[:12]} in {output / 'bundle'}" in err
    assert "64,288 parameters, context 48" in err
    assert f"parity: {parity.greedy_tokens} greedy tokens of {parity.prompts} prompts equal" in err
    size, quality = opened.manifest.files["model.onnx"].size, opened.manifest.quality
    assert f"float32: {size:,} bytes, {quality.bits_per_byte:.4f} bits per byte, the def" in err
    assert run(["export", *FLOAT, "--output-dir", str(output)]) == 0
    assert f"skipped: {output / 'bundle'} is already made of these files" in capsys.readouterr().err
    assert run(["export", *FLOAT, "--output-dir", str(output), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_one_document_with_the_whole_manifest(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", *FLOAT, "--output-dir", str(output), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bundle"] == str(output / "bundle")
    assert document["skipped"] is True
    assert document["manifest"] == json.loads((output / "bundle" / "manifest.json").read_text())


def empty(output: Path) -> None:
    shutil.rmtree(output)
    output.mkdir()


def absent(output: Path) -> None:
    shutil.rmtree(output)


def a_file(output: Path) -> None:
    shutil.rmtree(output)
    output.touch()


def cut(output: Path) -> None:
    path = output / "best_model.pt"
    path.write_bytes(path.read_bytes()[:1_000])


def other_text(output: Path) -> None:
    (output / "corpus" / "val.txt").write_text("Something else.\n")


def no_text(output: Path) -> None:
    (output / "corpus" / "val.txt").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (empty, "best_model.pt is missing"),
        (absent, "best_model.pt is missing"),
        (a_file, "best_model.pt is missing"),
        (cut, "best_model.pt cannot be loaded"),
        (other_text, "the val text in"),
        (no_text, "the val text in"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_bad_input_ends_with_6_and_one_clear_sentence(
    output: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    words: str,
    as_json: list[str],
) -> None:
    damage(output)
    assert run(["export", *FLOAT, "--output-dir", str(output), *as_json]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[0]
    assert all(line.startswith("  -> ") for line in err.splitlines()[1:])
    assert "Traceback" not in err


def test_without_torch_or_onnx_export_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    missing = {"torch", "onnx"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else found(name)
    )
    assert run(["export"]) == 1
    err = capsys.readouterr().err
    assert "`tinytx export` needs torch, onnx, which is not installed" in err
    assert " -m pip install " in err
    assert err.endswith(f" {requirement('torch')} 'onnx>=1.18'\n")


@pytest.mark.parametrize("arguments", [["x"], ["--outputs", "x"], ["--fast"]])
def test_wrong_usage_ends_with_64(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(["export", *arguments]) == 64
    assert "Usage: tinytx export [OPTIONS]" in capsys.readouterr().err
