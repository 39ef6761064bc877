"""Token files: nothing lost, the same from any number of processes, nothing left of a failure."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tinytx.errors import TokenizerError
from tinytx.tokenizer import Tokenizer
from tinytx.train import encoding
from tinytx.train.data import open_tokens
from tinytx.train.encoding import write_tokens


def test_a_token_file_holds_the_start_token_and_the_whole_text(
    story_file: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "train.bin"
    count = write_tokens(story_file, tokenizer, target)
    tokens = open_tokens(target)
    assert tokens.dtype == np.dtype("<u2")
    assert len(tokens) == count == target.stat().st_size // 2
    assert tokens[0] == tokenizer.start_id
    assert tokenizer.decode(tokens[1:].tolist()) == story_file.read_text(encoding="utf-8")


def test_large_ids_survive_the_file(tmp_path: Path) -> None:
    class Wide:
        start_id = 65_534

        def encode(self, text: str) -> list[int]:
            return [65_533, 300, 0]

    text = tmp_path / "text"
    text.write_text("x")
    write_tokens(text, Wide(), tmp_path / "t.bin")  # type: ignore[arg-type]
    assert open_tokens(tmp_path / "t.bin").tolist() == [65_534, 65_533, 300, 0]


def test_carriage_returns_in_a_text_are_tokens_like_any_other(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    text, target = tmp_path / "text", tmp_path / "tokens.bin"
    text.write_bytes(b"uno\r\ndos\rtres\n")
    write_tokens(text, tokenizer, target)
    assert tokenizer.decode(open_tokens(target)[1:].tolist()) == "uno\r\ndos\rtres\n"


def test_a_failed_write_keeps_the_old_token_file(
    story_file: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "train.bin"
    target.write_bytes(b"old")

    class Full(Tokenizer):
        def encode(self, text: str) -> list[int]:
            raise OSError(28, "No space left on device")

    full = Full.__new__(Full)
    full.start_id = 1
    with pytest.raises(TokenizerError, match="cannot write the tokens: No space left"):
        write_tokens(story_file, full, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1_000])
def test_parts_are_the_text_and_are_cut_in_the_middle_of_long_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(encoding, "ENCODE_CHUNK", chunk)
    text = "".join("x" * (i % 23) + "\n" for i in range(200)) + "y" * 150 + "\nend"
    file = tmp_path / "text"
    file.write_text(text)
    with file.open(newline="") as opened:
        parts = list(encoding._parts(opened))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= chunk
    lines = text.splitlines(keepends=True)
    ends = {sum(map(len, lines[: i + 1])) for i in range(len(lines))}
    begin = 0
    for part in parts[:-1]:
        begin += len(part)
        assert begin in ends or len(part) == chunk


def test_the_tokens_of_several_processes_are_those_of_one(
    story_file: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ENCODE_CHUNK", 1_000)
    told: list[int] = []
    one = write_tokens(story_file, tokenizer, tmp_path / "one", told.append, processes=1)
    assert told == sorted(told)
    assert told[-1] == story_file.stat().st_size
    assert len(told) > 5  # parts, so that several processes have some each
    again: list[int] = []
    assert one == write_tokens(story_file, tokenizer, tmp_path / "two", again.append, processes=2)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert told == again


def test_a_process_that_is_killed_is_told_in_a_sentence_and_leaves_no_file(
    story_file: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ENCODE_CHUNK", 500)
    killed: list[int] = []

    def kill(_: int) -> None:
        if not killed:
            for child in children():
                os.kill(child, signal.SIGKILL)
                killed.append(child)
            time.sleep(0.2)

    with pytest.raises(TokenizerError, match="ended from outside") as caught:
        write_tokens(story_file, tokenizer, tmp_path / "tokens", kill, processes=2)
    assert killed
    assert "memory" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def children() -> list[int]:
    """Processes that this one has started to make tokens."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat[1]) == os.getpid() and b"spawn_main" in words:
                found.append(int(entry.name))
    return found
