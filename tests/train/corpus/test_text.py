"""Files to text: what is unpacked, what is cleaned, what is refused by its name."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus import text as module
from tinytx.train.corpus.text import decode_text, read_text, text_files, unpack


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot read the corpus: No such file .*nowhere\.txt"):
        read_text(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    "data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n", "\u00a0\u2003\n".encode()]
)
def test_an_empty_or_blank_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorpusError, match="text is empty"):
        read_text(write(tmp_path / "text", data))


def test_a_binary_file_is_refused_with_the_place_of_its_zero_byte(tmp_path: Path) -> None:
    data = b"a" * 1_234 + b"\0" + b"a" * 5_000
    with pytest.raises(CorpusError, match="zero byte at offset 1,234"):
        read_text(write(tmp_path / "text", data))


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


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_the_wide_encodings_are_refused_by_name(tmp_path: Path, codec: str) -> None:
    data = "\ufeff".encode(codec) if codec.endswith("be") else b""
    path = write(tmp_path / "text", data + "señora".encode(codec))
    with pytest.raises(CorpusError, match=f"is {codec[:6].upper()}, not UTF-8"):
        read_text(path)


def test_a_byte_order_mark_is_stripped_and_line_ends_are_one_newline() -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\rthree\n\r\nfour \xef\xbb\xbf"
    assert decode_text(data, "x") == "one\ntwo\nthree\n\nfour \ufeff"


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is a folder, not a text file"):
        read_text(tmp_path)


def test_a_pipe_is_refused_instead_of_being_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="pipe is not a regular file") as caught:
        read_text(tmp_path / "pipe")
    assert "save the text to a file" in caught.value.remedy


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(CorpusError, match="/dev/zero is not a regular file"):
        read_text(Path("/dev/zero"))


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_TEXT", 1_000)
    with pytest.raises(CorpusError, match="larger than 1,000 bytes"):
        read_text(write(tmp_path / "text", b"words " * 200))


def test_gzip_and_zip_are_unpacked_whatever_they_are_called(tmp_path: Path) -> None:
    text = b"One line.\n" * 50
    assert read_text(write(tmp_path / "a", gzip.compress(text, mtime=0))).encode() == text
    assert read_text(write(tmp_path / "b.txt", zipped(only_dat=text))).encode() == text
    several = zipped(b__two_txt=b"two", a_one_txt=b"one", picture_png=b"\x89PNG")
    assert read_text(write(tmp_path / "c.zip", several)) == "two\n\none"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"words " * 500, mtime=0)[:-20], "cannot be unpacked"),
        (gzip.compress(b"words " * 500, mtime=0)[:40] + b"\xff" * 40, "cannot be unpacked"),
        (zipped(a_txt=b"words " * 500)[:-30], "cannot be unpacked"),
        (zipped(a_png=b"1", b_png=b"2"), "holds 2 files, none of them text"),
        (zipped(), "zero byte"),
    ],
)
def test_a_damaged_archive_or_one_without_text_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        decode_text(unpack(data, "x.zip"), "x.zip")


def test_an_encrypted_archive_is_refused() -> None:
    data = bytearray(zipped(a_txt=b"words"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(CorpusError, match="is encrypted"):
        unpack(bytes(data), "x.zip")


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(a_txt=data, b_txt=data)])
def test_an_archive_that_unpacks_to_too_much_is_given_up(
    pack: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(b"0" * 3_000_000)  # type: ignore[operator]
    monkeypatch.setattr(module, "LARGEST_TEXT", 2_000_000)
    with pytest.raises(CorpusError, match="unpacks to more than 2,000,000 bytes"):
        unpack(packed, "bomb")


def test_a_folder_gives_its_text_files_in_order_without_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.TXT", "a/n.md", ".git/x.txt", "picture.png", "c.txt.gz", ".d.txt"):
        write(tmp_path / name, b"x")
    found = [str(path.relative_to(tmp_path)) for path in text_files(tmp_path)]
    assert found == ["a/n.md", "a/z.TXT", "b.txt", "c.txt.gz"]


def test_a_folder_without_text_is_refused_with_the_names_that_count(tmp_path: Path) -> None:
    write(tmp_path / "picture.png", b"x")
    with pytest.raises(CorpusError, match="holds no text files") as caught:
        text_files(tmp_path)
    assert ".txt" in caught.value.remedy
