"""``tinytx verify`` from the outside."""

import json
import shutil
from pathlib import Path

import pytest

from tinytx.bundle import Bundle
from tinytx.cli.main import run


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_a_whole_bundle_is_told_with_its_id_and_its_tokens(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(tiny_bundle)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{tiny_bundle}: 3 files as the manifest says, " in err
    assert f"id {Bundle(tiny_bundle).id}" in err
    assert run(["verify", str(tiny_bundle), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_one_document_on_stdout(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(tiny_bundle), "--json"]) == 0
    opened = Bundle(tiny_bundle)
    tokens = sum(len(c.tokens) - len(c.near_ties) for c in opened.golden().cases)
    assert json.loads(capsys.readouterr().out) == {
        "bundle": str(tiny_bundle),
        "id": opened.id,
        "golden_tokens": tokens,
        "judged": "float32",
        "precisions": {"float32": tokens},
        "differing": {},
    }


def test_a_folder_is_told_as_it_is_named(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Square brackets are no markup."""
    named = Path(shutil.copytree(tiny_bundle, tmp_path / "[red]my [/] bundle"))
    assert run(["verify", str(named)]) == 0
    assert str(named) in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("name", ["golden.json", "manifest.json", "model.onnx", "tokenizer.model"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_one_flipped_bit_ends_with_9_one_sentence_and_an_empty_stdout(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str, as_json: list[str]
) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 3] ^= 4
    (copy / name).write_bytes(data)
    assert run(["verify", str(copy), *as_json]) == 9
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinytx: ")
    assert str(copy / name) in err
    assert len(err.splitlines()) == 1


def test_a_missing_an_extra_and_an_unknown_are_named(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "extra").touch()
    assert run(["verify", str(copy)]) == 9
    assert "holds 'extra'" in capsys.readouterr().err
    (copy / "extra").unlink()
    (copy / "golden.json").unlink()
    assert run(["verify", str(copy)]) == 9
    assert "golden.json is missing" in capsys.readouterr().err
    (copy / "manifest.json").write_text('{"schema": 99}')
    assert run(["verify", str(copy)]) == 9
    err = capsys.readouterr().err
    assert "has schema 99; this tinytx reads schema 1" in err
    assert "  -> export the bundle again" in err
    assert run(["verify", str(tmp_path / "none")]) == 9
    assert "is not a bundle: no such folder" in capsys.readouterr().err


def test_a_link_to_a_whole_bundle_is_one_but_linked_files_are_not(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert run(["verify", str(tmp_path / "link")]) == 0
    (copy / "model.onnx").rename(tmp_path / "model.onnx")
    (copy / "model.onnx").symlink_to(tmp_path / "model.onnx")
    assert run(["verify", str(copy)]) == 9
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--fast"]])
def test_wrong_usage_ends_with_64(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(["verify", *arguments]) == 64
    assert "Usage: tinytx verify [OPTIONS] BUNDLE" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--help"]) == 0
    assert "Example:" in capsys.readouterr().out
