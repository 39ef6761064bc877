"""Encodings: which are read, which are named, and whether the named command really works."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus.text import read_text, stream_text

JAPANESE = "雨がやんだので、ふたりは川まで歩いて行きました。橋の上で、ネコが一ぴきねていました。\n"
CHINESE = "雨停了，我们就走到河边去。桥上有一只猫，它在那里睡着了，不知道我们来了。\n"
TRADITIONAL = "雨停了，我們就走到河邊去。橋上有一隻貓，牠在那裡睡著了，不知道我們來了。\n"
KOREAN = "비가 그치자 우리는 강가로 걸어갔다. 다리 위에서 고양이 한 마리가 자고 있었다.\n"
RUSSIAN = "Дождь кончился, и мы пошли к реке. На мосту спала кошка и нас не слышала.\n"
GREEK = "Η βροχή σταμάτησε και πήγαμε στο ποτάμι. Στη γέφυρα κοιμόταν μια γάτα.\n"
SPANISH = "La niña cruzó el puente; el señor del café soñaba con un camión y un pingüino.\n"


def to_text(data: bytes, name: str, tell: Callable[[str], None]) -> str:
    """What is read from a file of these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return "".join(stream_text(Path(file.name), name, name, tell))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def ignore(_: str) -> None:
    pass


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize(
    ("bad", "named", "encoding"),
    [
        (b"caf\xe9 con leche", "0xe9", "ISO-8859-1"),
        (b"\xff", "0xff", "ISO-8859-1"),
        (b"\x93quoted\x94", "0x93", "WINDOWS-1252"),
        (b"\xc3\x81", None, None),
    ],
)
def test_text_that_is_not_utf8_is_refused_with_its_byte_and_likely_encoding(
    tmp_path: Path, bad: bytes, named: str | None, encoding: str | None, bom: bytes
) -> None:
    head = bom + b"some words " * 300
    path = write(tmp_path / "text", head + bad)
    if named is None or encoding is None:
        assert read_text(path).endswith("Á")
        return
    offset = (head + bad).index(bytes([int(named, 16)]), len(head))
    words = f"not UTF-8: byte {named} at offset {offset:,}"
    with pytest.raises(CorpusError, match=words) as caught:
        read_text(path)
    assert f"iconv -f {encoding} -t UTF-8" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (JAPANESE, "shift_jis", "SHIFT_JIS"),
        (JAPANESE + "①", "cp932", "CP932"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (CHINESE, "gbk", "GBK"),
        (CHINESE + "㐀", "gb18030", "GB18030"),
        (TRADITIONAL, "big5", "BIG5"),
        (KOREAN, "euc_kr", "EUC-KR"),
        (KOREAN + "똠방각하", "cp949", "CP949"),
        (RUSSIAN, "cp1251", "WINDOWS-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (GREEK, "cp1253", "WINDOWS-1253"),
        (SPANISH, "latin_1", "ISO-8859-1"),
        (SPANISH + "“¿Quién?”", "cp1252", "WINDOWS-1252"),
    ],
)
@pytest.mark.parametrize("times", [1, 8_000])
def test_an_older_encoding_is_named_and_the_command_makes_the_text_of_it(
    tmp_path: Path, text: str, codec: str, name: str, times: int
) -> None:
    path = write(tmp_path / "an old text", (text * times).encode(codec))
    with pytest.raises(CorpusError, match="not UTF-8") as caught:
        read_text(path)
    command = caught.value.remedy.partition(": ")[2]
    assert command.startswith(f"iconv -f {name} -t UTF-8")
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed: the command cannot be tried")
    ended = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "corpus.txt").read_bytes() == (text * times).encode()


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [SPANISH, CHINESE, "🦜 \U00020000"])
def test_a_wide_encoding_with_its_mark_is_read(tmp_path: Path, codec: str, text: str) -> None:
    path = write(tmp_path / "text", ("\ufeff" + text + "a\r\nb\r").encode(codec))
    assert read_text(path) == text + "a\nb\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfea", "has the mark of UTF-16 but is damaged at offset 2"),
        (b"\xff\xfea\0b", "has the mark of UTF-16 but is damaged at offset 4"),
        (b"\xff\xfea\0\x00\xd8b\0", "has the mark of UTF-16 but is damaged at offset 4"),
        (b"\xfe\xff\0a\0\0\0b", "is not text: character 1 of it is a zero"),
        (b"\xff\xfe\0\0", "is empty"),
        (b"\xff\xfe", "is empty"),
    ],
)
def test_a_damaged_wide_text_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        read_text(write(tmp_path / "text", data))


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_wide_text_without_its_mark_is_refused_with_the_command(
    tmp_path: Path, codec: str
) -> None:
    with pytest.raises(CorpusError, match="there is a zero byte") as caught:
        read_text(write(tmp_path / "text", SPANISH.encode(codec)))
    assert f"iconv -f {codec.upper().replace('-', '').replace('UTF', 'UTF-')} " in (
        caught.value.remedy
    )


@pytest.mark.parametrize("sign", ["é", "水", "🦜"])
def test_a_text_that_was_cut_within_its_last_character_is_read_and_told(sign: str) -> None:
    whole = (SPANISH * 40).encode()
    for size in range(1, len(sign.encode())):
        told: list[str] = []
        assert to_text(whole + sign.encode()[:size], "x", told.append) == SPANISH * 40
        assert told == [
            "x ends in the middle of a character, so it may have been cut: its last "
            f"{size} bytes are left out"
        ]


def test_a_byte_order_mark_is_stripped_and_line_ends_are_one_newline() -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\rthree\n\r\nfour \xef\xbb\xbf"
    assert to_text(data, "x", ignore) == "one\ntwo\nthree\n\nfour \ufeff"
