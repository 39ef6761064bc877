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


def document_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    """The only generation of ``--json``."""
    assert run(["generate", *map(str, arguments), "--json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)["generations"]
    return only


def test_json_is_one_document_on_stdout(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", str(tiny_bundle), "señor", "--max-tokens", "9", "--seed", "3"]
    assert run([*arguments, "--quiet"]) == 0
    text = capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    (made,) = document.pop("generations")
    assert document == {"bundle": Bundle(tiny_bundle).id, "seed": 3}
    seconds, first, rate = (
        made.pop(key) for key in ("seconds", "prompt_seconds", "tokens_per_second")
    )
    assert seconds > first > 0
    assert rate == pytest.approx(9 / seconds)
    assert made == {
        "prompt": "señor",
        "text": text.removeprefix("señor").removesuffix("\n"),
        "prompt_tokens": len(Engine.load(tiny_bundle).tokenizer.encode("señor")) + 1,
        "tokens": 9,
        "stopped": "length",
        "slides": 0,
        "prompt_dropped": 0,
    }
    assert "señor" not in err


def test_a_seed_that_was_drawn_is_told_and_gives_the_text_again(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", str(tiny_bundle), "The", "--temperature", "1"]
    assert run(arguments) == 0
    first = capsys.readouterr()
    seed = first.err.rpartition("seed ")[2].rstrip(")\n")
    assert run([*arguments, "--seed", seed]) == 0
    assert capsys.readouterr().out == first.out
    assert run(["generate", str(tiny_bundle), "The", "--temperature", "0"]) == 0
    assert "seed" not in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_each_line_of_a_file_is_continued_as_if_it_were_alone(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    prompts = ["The quiet", "señor\u2028 a", " boat "]
    flags = ["--seed", "4", "--max-tokens", "6", "--quiet"]
    alone = []
    for prompt in prompts:
        assert run(["generate", str(tiny_bundle), prompt, *flags]) == 0
        alone.append(capsys.readouterr().out)
    file = tmp_path / "prompts.txt"
    between = ending or "\n"
    text = f"{between}{prompts[0]}{between}{between}{between.join(prompts[1:])}{ending}"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert run(["generate", str(tiny_bundle), "--prompts", str(file), *flags]) == 0
    assert capsys.readouterr().out == "\n".join(alone)
    assert run(["generate", str(tiny_bundle), "--prompts", str(file), *flags, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["generations"]
    assert [each["prompt"] + each["text"] + "\n" for each in made] == alone


def test_prompts_are_read_from_stdin(tiny_bundle: Path) -> None:
    flags = ["--max-tokens", "2", "--seed", "1"]
    result = process(tiny_bundle, "--prompts", "-", *flags, input="boat\nniña\n".encode())
    assert result.returncode == 0, result.stderr
    first, _, second = result.stdout.decode().partition("\n\n")
    assert first.startswith("boat")
    assert second.startswith("niña")


@pytest.mark.parametrize("arguments", [["--prompts", "-"], ["--prompts", "-", "--json"]])
def test_prompts_from_a_closed_stdin_end_with_64_and_one_sentence(
    tiny_bundle: Path, arguments: list[str]
) -> None:
    result = process(tiny_bundle, *arguments, preexec_fn=lambda: os.close(0))
    assert (result.returncode, result.stdout) == (64, b"")
    assert result.stderr.decode() == (
        "tinytx: --prompts: stdin holds no prompt\n  -> write one prompt on each line\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no prompt"),
        (b"\n\r\n\n", "holds no prompt"),
        (b"fine\ncaf\xe9\n", "line 2 of"),
        (b"fine\n\n" + b"word " * 60, "line 3 of"),
        (b"a" * 10_000_001, "is larger than 10,000,000 bytes"),
        (None, "cannot read"),
    ],
    ids=["empty", "blank", "not UTF-8", "too long", "too large", "a folder"],
)
def test_a_bad_file_of_prompts_ends_with_64_before_anything_is_written(
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    words: str,
) -> None:
    file = tmp_path / "prompts.txt"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert run(["generate", str(tiny_bundle), "--prompts", str(file)]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[0]
    assert "prompts.txt" in err.splitlines()[0]
    assert "Traceback" not in err


def test_a_full_context_slides_on_when_asked_and_says_so(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--max-tokens", "120", "--seed", "1"]
    assert run(["generate", str(tiny_bundle), "The", *flags, "--when-full", "slide"]) == 0
    err = capsys.readouterr().err
    assert "(the context of 48 tokens was full; its older half went, 3 x)" in err
    assert "(120 tokens, " in err
    made = document_of(capsys, tiny_bundle, "The", *flags, "--when-full", "slide")
    assert (made["tokens"], made["stopped"], made["slides"]) == (120, "length", 3)


def test_several_stop_texts_may_be_given(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [tiny_bundle, "The", "--temperature", "0"]
    whole = document_of(capsys, *arguments)["text"]
    early, late = whole[len(whole) // 3 :][:3], whole[len(whole) // 2 :][:3]
    made = document_of(capsys, *arguments, "--stop", late, "--stop", early)
    assert made["text"] == min(whole.split(early)[0], whole.split(late)[0], key=len)
    assert made["stopped"] == "stop"


@pytest.mark.parametrize("flag", ["--stream", "--no-stream"])
def test_ctrl_c_keeps_what_was_generated_and_ends_with_130(tiny_bundle: Path, flag: str) -> None:
    """The process sends itself SIGINT once 20 tokens are there."""
    script = """
import os, signal, sys
from tinytx.cli.main import run
from tinytx.runtime.sampling import Sampler

real, count = Sampler.__call__, 0
def counted(self, logits):
    global count
    count += 1
    if count == 20:
        os.kill(os.getpid(), signal.SIGINT)
    return real(self, logits)
Sampler.__call__ = counted
sys.exit(run(sys.argv[1:]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script, "generate", tiny_bundle, "The", "--temperature", "0", flag],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    engine = Engine.load(tiny_bundle)
    tokens, _ = greedy(engine, "The", 19)
    assert result.returncode == 130
    assert result.stdout == "The" + engine.tokenizer.decode(tokens) + "\n"
    assert result.stderr.startswith("(19 tokens, ")
    assert result.stderr.endswith("tinytx: interrupted\n")


def test_text_streams_on_a_terminal_and_when_asked(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("click.echo", lambda text="", **_: written.append(text))
    monkeypatch.setattr(
        "tinytx.cli.generate.output.click.echo", lambda text="", **_: written.append(text)
    )
    arguments = ["generate", str(tiny_bundle), "The", "--max-tokens", "9", "--seed", "1", "--quiet"]
    counts = {}
    for terminal in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal)
        for flags in ([], ["--stream"], ["--no-stream"]):
            written.clear()
            assert run([*arguments, *flags]) == 0
            counts[terminal, *flags] = len(written)
    whole = counts[False,]
    assert whole == 1
    assert counts[True, "--no-stream"] == counts[False, "--no-stream"] == 1
    assert counts[True,] == counts[True, "--stream"] == counts[False, "--stream"] > 5


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
    assert (
        "(stopped: the context of 48 tokens is full; --when-full slide goes on)"
        in capsys.readouterr().err
    )
    document = document_of(capsys, tiny_bundle, "", "--max-tokens", "500")
    assert (document["tokens"], document["stopped"]) == (48, "context")


def test_a_stop_text_ends_the_text(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [tiny_bundle, "The", "--temperature", "0"]
    whole = document_of(capsys, *arguments)["text"]
    stop = whole[len(whole) // 2 :][:3]
    document = document_of(capsys, *arguments, "--stop", stop)
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
        (["--min-p", "-0.1"], "min-p must be from 0 to 1, not -0.1"),
        (["--min-p", "nan"], "min-p"),
        (["--repetition-penalty", "0.5"], "repetition penalty must be from 1 to 100, not 0.5"),
        (["--repetition-penalty", "inf"], "repetition penalty"),
        (["--stop", ""], "--stop: a stop text must not be empty"),
        (["--when-full", "grow"], "--when-full"),
        (["--prompts", "file"], "a prompt and --prompts FILE cannot be given together"),
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


def test_a_missing_argument_ends_with_64_and_one_sentence(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate"]) == 64
    err = capsys.readouterr().err
    assert "Missing argument" in err
    assert "Usage: tinytx generate [OPTIONS] BUNDLE [PROMPT]" in err
    assert run(["generate", str(tiny_bundle)]) == 64
    assert capsys.readouterr().err == "tinytx: give one prompt or --prompts FILE\n"
    assert run(["generate", str(tiny_bundle), "The", "--json", "--stream"]) == 64
    assert "it cannot --stream" in capsys.readouterr().err


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
        "  -> shorten it, or let the context slide (--when-full slide): only its end counts then\n"
    )


def test_a_prompt_longer_than_a_sliding_context_is_continued_and_what_went_is_told(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--when-full", "slide", "--seed", "1", "--max-tokens", "3"]
    prompt = "\n" * 60  # and the start token: 61, of which 36 stay once 25 have gone
    assert run(["generate", str(tiny_bundle), prompt, *flags]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(prompt)
    assert "(the prompt is too long: its first 25 tokens went)" in err
    made = document_of(capsys, tiny_bundle, prompt, *flags)
    assert (made["tokens"], made["stopped"], made["slides"]) == (3, "length", 1)
    assert (made["prompt_tokens"], made["prompt_dropped"]) == (61, 25)
    assert prompt + made["text"] + "\n" == out


def test_one_token_is_told_as_one(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", str(tiny_bundle), "The", "--max-tokens", "1"]) == 0
    assert capsys.readouterr().err.startswith("(1 token, ")


def test_the_longest_prompt_that_fits_is_continued(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = document_of(capsys, tiny_bundle, "\n" * 46)
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
