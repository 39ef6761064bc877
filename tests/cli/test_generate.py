"""``tinytx generate`` from the outside: output, exit codes, bad input, closed pipes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinytx.bundle import Bundle
from tinytx.cli.main import run
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import greedy

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tinytx.cli.main", "generate"]


def process(*arguments: str | bytes | Path, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    environment |= options.pop("env", {})
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, timeout=60, check=False, **options
    )


def test_the_prompt_and_its_continuation_are_streamed_to_stdout_and_the_speed_to_stderr(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine.load(tiny_bundle)
    tokens, _ = greedy(engine, "The quiet", 12)
    arguments = ["generate", str(tiny_bundle), "The quiet", "--temperature", "0"]
    assert run([*arguments, "--max-tokens", "12"]) == 0
    out, err = capsys.readouterr()
    assert out == "The quiet" + engine.tokenizer.decode(tokens) + "\n"
    assert err.startswith("(12 tokens, ")
    assert run([*arguments, "--max-tokens", "12", "--quiet"]) == 0
    assert capsys.readouterr() == (out, "")


def test_json_is_one_document_on_stdout(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", str(tiny_bundle), "señor", "--max-tokens", "9", "--seed", "3"]
    assert run([*arguments, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document.pop("seconds") > 0
    assert document == {
        "prompt": "señor",
        "text": text.removeprefix("señor").removesuffix("\n"),
        "prompt_tokens": len(Engine.load(tiny_bundle, 1).tokenizer.encode("señor")) + 1,
        "tokens": 9,
        "slides": 0,
        "stopped": "length",
        "seed": 3,
        "bundle": Bundle(tiny_bundle).id,
    }
    assert "señor" not in err


def test_the_same_seed_writes_the_same_text(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in ("5", "5", "6"):
        assert run(["generate", str(tiny_bundle), "The", "--seed", seed, "--temperature", "1"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_a_full_context_is_told_on_stderr(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", str(tiny_bundle), "", "--max-tokens", "500", "--seed", "1"]) == 0
    assert "(stopped: the context of 48 tokens is full;" in capsys.readouterr().err
    assert run(["generate", str(tiny_bundle), "", "--max-tokens", "500", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["tokens"], document["stopped"]) == (48, "context")


def test_a_stop_text_ends_the_text(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", str(tiny_bundle), "The", "--temperature", "0", "--json"]
    assert run(arguments) == 0
    whole = json.loads(capsys.readouterr().out)["text"]
    stop = whole[len(whole) // 2 :][:3]
    assert run([*arguments, "--stop", stop]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["text"] == whole.split(stop)[0]
    assert document["stopped"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--top-p", "0"], "top-p must be above 0 and at most 1, not 0.0"),
        (["--top-p", "1.5"], "top-p"),
        (["--top-p", "nan"], "top-p"),
        (["--temperature", "-1"], "temperature must be 0 or more"),
        (["--temperature", "inf"], "temperature"),
        (["--temperature", "warm"], "--temperature"),
        (["--top-k", "-1"], "top-k must be 0 or more"),
        (["--min-p", "1.1"], "min-p must be from 0 to 1"),
        (["--min-p", "nan"], "min-p must be from 0 to 1"),
        (["--repetition-penalty", "0"], "repetition penalty must be above 0"),
        (["--repetition-penalty", "inf"], "repetition penalty must be above 0"),
        (["--stop", ""], "a stop text must not be empty"),
        (["--when-full", "panic"], "--when-full"),
        (["--prompts", "x"], "give a PROMPT or --prompts, not both"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--max-tokens", "0"], "--max-tokens"),
        (["--max-tokens", "-3"], "--max-tokens"),
        (["--threads", "0"], "--threads"),
        (["--temprature", "1"], "--temperature"),
        (["one", "more"], "unexpected extra arguments"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_bad_flag_ends_with_64_and_one_clear_sentence(
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
    as_json: list[str],
) -> None:
    assert run(["generate", str(tiny_bundle), "The", *arguments, *as_json]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[0]
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["only-a-bundle"]])
def test_a_missing_argument_ends_with_64_and_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["generate", *arguments]) == 64
    err = capsys.readouterr().err
    assert "Missing argument" in err
    assert "Usage: tinytx generate [OPTIONS] BUNDLE [PROMPT]" in err


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_too_long_a_prompt_ends_with_64_both_numbers_and_an_empty_stdout(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], as_json: list[str]
) -> None:
    prompt = "\n" * 60
    assert run(["generate", str(tiny_bundle), prompt, *as_json]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "tinytx: the prompt is 60 tokens long; this model's context of 48 has room for 46\n"
    )


def test_the_longest_prompt_that_fits_is_continued(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", str(tiny_bundle), "\n" * 46, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["tokens"], document["stopped"]) == (2, "context")


def test_a_missing_or_damaged_bundle_ends_with_9_before_anything_is_printed(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    graph = bytearray((copy / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (copy / "model.onnx").write_bytes(graph)
    for bundle, words in [
        (tmp_path / "none", "is not a bundle: no such folder"),
        (tiny_bundle / "model.onnx", "is not a bundle"),
        (tmp_path, "manifest.json is missing"),
        (copy, "model.onnx is damaged"),
    ]:
        for as_json in ([], ["--json"]):
            assert run(["generate", str(bundle), "The", *as_json]) == 9
            out, err = capsys.readouterr()
            assert out == ""
            assert words in err
            assert len(err.splitlines()) == 1


def test_an_argument_that_is_no_utf8_ends_with_64(tiny_bundle: Path) -> None:
    result = process(tiny_bundle, b"caf\xe9")
    assert result.returncode == 64
    assert result.stderr == b"tinytx: the prompt is not valid UTF-8 text\n"
    assert result.stdout == b""


def test_the_text_is_utf8_whatever_the_locale(tiny_bundle: Path) -> None:
    result = process(
        tiny_bundle, "señor 你好", "--max-tokens", "3",
        env={"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().startswith("señor 你好")


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_reader_that_has_gone_is_no_error(tiny_bundle: Path, as_json: list[str]) -> None:
    """Like ``| head -c 0``, made certain: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    result = process(tiny_bundle, "The", "--seed", "1", *as_json, stdout=writing)
    os.close(writing)
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr
    assert b"Broken" not in result.stderr
    assert b"Exception" not in result.stderr


def test_head_takes_one_byte_and_nobody_complains(tiny_bundle: Path) -> None:
    line = f'set -o pipefail; {" ".join(COMMAND)} "$1" The --max-tokens 40 --seed 1 | head -c 1'
    result = subprocess.run(
        ["bash", "-c", line, "bash", str(tiny_bundle)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, b"T")
    assert b"Traceback" not in result.stderr
    assert b"Broken" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence(tiny_bundle: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        result = process(tiny_bundle, "The", stdout=full)
    assert result.returncode == 1
    assert result.stderr == b"tinytx: cannot write: no space left\n"


def test_without_a_stdout_it_still_runs(tiny_bundle: Path) -> None:
    result = subprocess.run(
        [
            "bash",
            "-c",
            f'{" ".join(COMMAND)} "$1" The --max-tokens 3 >&-',
            "bash",
            str(tiny_bundle),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0
    assert result.stderr.startswith(b"(3 tokens")
