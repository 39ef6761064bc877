"""Files to text: what is unpacked, what is cleaned, what is refused by its name."""

import os
import zipfile
from pathlib import Path

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus import archives as module
from tinytx.train.corpus.text import read_text, text_files


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


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


def test_the_names_that_a_folder_leaves_out_are_counted(tmp_path: Path) -> None:
    for name in ("a.txt", "b.csv", "c/d.csv", "e.HTML", "README", ".hidden.csv"):
        write(tmp_path / name, b"x")
    told: list[str] = []
    assert text_files(tmp_path, told.append) == [tmp_path / "a.txt"]
    (line,) = told
    assert line.endswith("(.txt, .text, .md, .txt.gz, .zip): 2 .csv, 1 without an ending, 1 .html")
    assert str(tmp_path) in line


def test_a_folder_of_many_kinds_counts_the_rest_together(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path / f"a.x{i}", b"x")
    write(tmp_path / "b.txt", b"x")
    told: list[str] = []
    text_files(tmp_path, told.append)
    assert told[0].endswith("1 .x0, 1 .x1, 1 .x2, 1 .x3, 1 .x4, 4 others")


def test_a_folder_of_documents_alone_is_refused_with_the_way_to_text(tmp_path: Path) -> None:
    write(tmp_path / "my book.pdf", b"%PDF-1.7\nwords")
    write(tmp_path / "table.csv", b"a,b")
    with pytest.raises(CorpusError, match=r"no text files but 1 \.pdf, 1 \.csv") as caught:
        text_files(tmp_path)
    assert f"pdftotext '{tmp_path}/my book.pdf'" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.pdf", b"%PDF-1.7\nwords", "a.pdf is a PDF document, not plain text; make text of it:"),
        ("a.rtf", b"{\\rtf1 words}", "a.rtf is a document in RTF, not plain text; save it as"),
        ("a.html", b"<html><p>words", "a.html is a web page (HTML), not plain text; make text"),
        ("a.docx", "word/x.xml", "a.docx is a Word document, not plain text; save it as"),
        ("a.epub", "META-INF/container.xml", "a.epub is an e-book (EPUB), not plain text; make"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.doc is an old Word, Excel or PowerPo"),
        ("a.csv", b"1,2", "1 .csv"),
        ("a.docx", b"PK\x03\x04 damaged", "1 .docx"),
    ],
)
def test_a_document_beside_the_texts_of_a_folder_is_named_with_the_way_to_text(
    tmp_path: Path, name: str, data: bytes | str, words: str
) -> None:
    write(tmp_path / "b.txt", b"x")
    if isinstance(data, bytes):
        write(tmp_path / name, data)
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("[Content_Types].xml", b"")
            archive.writestr(data, b"words")
            if name.endswith("epub"):
                archive.writestr("mimetype", b"application/epub+zip")
    told: list[str] = []
    assert text_files(tmp_path, told.append) == [tmp_path / "b.txt"]
    assert words in told[0]
    assert told[0].endswith(words) == ("is a" not in words)
