"""Archives: what is taken out, what is passed over, and damage told in one sentence."""

import gzip
import io
import random
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus import archives
from tinytx.train.corpus.text import read_text, stream_text

METHODS = {
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
    "stored": zipfile.ZIP_STORED,
}


def to_text(data: bytes, name: str, tell: Callable[[str], None]) -> str:
    """What is read from a file of these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return "".join(stream_text(Path(file.name), name, name, tell))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def text_of(data: bytes) -> str:
    return to_text(data, "x.zip", lambda _: None)


def test_gzip_and_zip_are_unpacked_whatever_they_are_called(tmp_path: Path) -> None:
    text = b"One line.\n" * 50
    assert read_text(write(tmp_path / "a", gzip.compress(text, mtime=0))).encode() == text
    assert read_text(write(tmp_path / "b.txt", zipped({"only.dat": text}))).encode() == text
    several = zipped({"b/two.txt": b"two", "a.one.txt": b"one", "picture.png": b"\x89PNG"})
    assert read_text(write(tmp_path / "c.zip", several)) == "two\n\none"


def test_a_zip_made_on_a_mac_is_read_without_what_the_mac_added(tmp_path: Path) -> None:
    junk = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(40)
    book = {
        "book/": b"",
        "book/.DS_Store": junk,
        "book/one.txt": b"one",
        "__MACOSX/book/._one.txt": junk,
        "book/Thumbs.db": junk,
        "book/two.txt": b"two",
        "__MACOSX/book/._two.txt": junk,
        ".hidden/three.txt": b"three",
    }
    assert read_text(write(tmp_path / "book.zip", zipped(book))) == "one\n\ntwo"
    single = {"notes": b"words", "__MACOSX/._notes": junk, ".DS_Store": junk}
    assert read_text(write(tmp_path / "one.zip", zipped(single))) == "words"


def test_each_member_loses_its_own_byte_order_mark(tmp_path: Path) -> None:
    wide = "\ufeffthree, señora".encode("utf-16-le")
    files = {"1.txt": b"\xef\xbb\xbfone\r\n", "2.txt": b"\xef\xbb\xbftwo\r\n", "3.txt": wide}
    assert read_text(write(tmp_path / "x.zip", zipped(files))) == "one\n\n\ntwo\n\n\nthree, señora"


def test_an_empty_member_is_passed_over_with_a_word() -> None:
    told: list[str] = []
    data = zipped({"1.txt": b"one", "2.txt": b" \n", "3.txt": b"", "4.txt": b"four"})
    assert to_text(data, "x.zip", told.append) == "one\n\nfour"
    assert told == ["left out, being empty: 2.txt in x.zip, 3.txt in x.zip"]
    with pytest.raises(CorpusError, match=r"x\.zip is empty"):
        text_of(zipped({"1.txt": b"\n"}))


def test_the_remedy_for_a_member_runs_on_the_member(tmp_path: Path) -> None:
    text = "La señora cruzó el puente.\n" * 30
    data = zipped({"fine.txt": b"words", "old texts/it's.txt": text.encode("latin-1")})
    path = write(tmp_path / "my books.zip", data)
    with pytest.raises(CorpusError, match=r"it's\.txt in .*books\.zip is not UTF-8") as caught:
        read_text(path)
    command = caught.value.remedy.partition(": ")[2]
    assert command.endswith("| iconv -f ISO-8859-1 -t UTF-8 > corpus.txt")
    assert command.startswith(f"unzip -p '{path}' ")


def test_the_remedy_for_a_gzip_file_unpacks_it_and_works(tmp_path: Path) -> None:
    text = "La señora cruzó el puente.\n" * 30
    path = write(tmp_path / "old.gz", gzip.compress(text.encode("latin-1")))
    with pytest.raises(CorpusError, match="not UTF-8") as caught:
        read_text(path)
    command = caught.value.remedy.partition(": ")[2]
    assert command == f"gzip -dc {path} | iconv -f ISO-8859-1 -t UTF-8 > corpus.txt"
    if subprocess.run(["sh", "-c", "command -v iconv gzip"], capture_output=True).returncode:
        pytest.skip("iconv or gzip is not installed: the command cannot be tried")
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / "corpus.txt").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(b"words " * 500, mtime=0)[:-20], "cannot be unpacked"),
        (gzip.compress(b"words " * 500, mtime=0)[:40] + b"\xff" * 40, "cannot be unpacked"),
        (zipped({"a.txt": b"words " * 500})[:-30], "cannot be unpacked"),
        (zipped({"a.png": b"1", "b.png": b"2"}), "holds 2 files, none of them text"),
        (zipped({}), "holds 0 files, none of them text"),
    ],
)
def test_a_damaged_archive_or_one_without_text_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        text_of(data)


@pytest.mark.parametrize("method", METHODS)
def test_damage_anywhere_in_a_zip_of_any_method_is_one_sentence_or_harmless(method: str) -> None:
    source = random.Random(method)
    words = " ".join("".join(source.choices("abcdefgh", k=5)) for _ in range(300)).encode()
    whole = zipped({"a.txt": words}, METHODS[method])
    refused = 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        try:
            found = text_of(bytes(data)).encode()
        except CorpusError as error:
            refused += 1
            assert error.exit_code == 2
            assert "\n" not in error.message
        else:
            assert found == words
    assert refused > len(whole) / 2


def test_an_encrypted_member_is_refused_by_its_name() -> None:
    data = bytearray(zipped({"a.txt": b"words"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(CorpusError, match=r"a\.txt in x\.zip is encrypted") as caught:
        text_of(bytes(data))
    assert caught.value.remedy == "unpack it and give the text"


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: zipped({"a.txt": data, "b.txt": data})]
)
def test_an_archive_that_unpacks_to_too_much_is_given_up(
    pack: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(b"0" * 3_000_000)  # type: ignore[operator]
    monkeypatch.setattr(archives, "LARGEST_TEXT", 2_000_000)
    with pytest.raises(CorpusError, match="unpacks to more than 2,000,000 bytes"):
        text_of(packed)
