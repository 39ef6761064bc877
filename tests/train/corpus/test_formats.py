"""Files of other programs: each is named, and what is said about it can be done."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from tinytx.errors import CorpusError
from tinytx.train.corpus.text import read_text


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


PAGE = b"<!DOCTYPE html>\n<html><body><p>A page with enough words in it.</p></body></html>\n"
WORD = zipped(
    **{"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", "docProps/a.txt": b"x"}
)
FILES = [
    (b"%PDF-1.4\n1 0 obj\nplain words\nendobj\n", "a PDF document", "pdftotext "),
    (b"{\\rtf1\\ansi Some words.\\par}", "a document in RTF", "libreoffice --convert-to"),
    (b"%!PS-Adobe-3.0\n(words) show", "a PostScript document", "ps2ascii "),
    (PAGE, "a web page (HTML)", "pandoc -f html -t plain"),
    (b"\xef\xbb\xbf \n<HTML lang='es'>words", "a web page (HTML)", "pandoc"),
    (b'<?xml version="1.0"?>\n<!-- a\nb -->\n' + PAGE, "a web page (HTML)", "pandoc"),
    (("\ufeff" + PAGE.decode()).encode("utf-16-le"), "a web page (HTML)", "pandoc"),
    (gzip.compress(PAGE, mtime=0), "a web page (HTML)", "gzip -dc "),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "an old Word, Excel", "libreoffice"),
    (WORD, "a Word document", "libreoffice"),
    (zipped(**{"[Content_Types].xml": b"", "xl/a.xml": b""}), "an Excel workbook", "save its"),
    (zipped(**{"[Content_Types].xml": b"", "ppt/a.xml": b""}), "a PowerPoint pres", "save its"),
    (
        zipped(**{"[Content_Types].xml": b"", "a.txt": b"words"}),
        "a file of an office program",
        "save",
    ),
    (
        zipped(mimetype=b"application/vnd.oasis.opendocument.text", **{"a.txt": b"words"}),
        "an OpenDocument file",
        "libreoffice",
    ),
    (zipped(mimetype=b"application/epub+zip", **{"a.txt": b"words"}), "an e-book (EPUB)", "pandoc"),
    (zipped(**{"META-INF/container.xml": b"", "a.txt": b"words"}), "an e-book (EPUB)", "pandoc"),
    (bytes(60) + b"BOOKMOBI", "an e-book (MOBI)", "ebook-convert"),
    (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7-Zip archive", "unpack it"),
    (b"Rar!\x1a\x07\x01\x00", "a RAR archive", "unpack it"),
    (b"\xfd7zXZ\x00\x00\x04", "packed with xz", "unpack it"),
    (b"BZh91AY&SY\x00", "packed with bzip2", "unpack it"),
    (
        gzip.compress(b"a.txt" + bytes(252) + b"ustar  \0" + bytes(400), mtime=0),
        "a tar archive",
        "unpack",
    ),
]


@pytest.mark.parametrize(("data", "name", "remedy"), FILES, ids=[name for _, name, _ in FILES])
def test_a_file_of_another_program_is_named_whatever_it_is_called(
    tmp_path: Path, data: bytes, name: str, remedy: str
) -> None:
    path = tmp_path / "my book.txt"
    path.write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        read_text(path)
    assert f"is {name}" in caught.value.message
    assert caught.value.message.startswith(f"{path} ")
    assert remedy in caught.value.remedy
    if "unpack it" not in caught.value.remedy and "save its" not in caught.value.remedy:
        assert f"'{path}'" in caught.value.remedy  # as a shell needs it
    assert "{}" not in caught.value.remedy


def test_a_page_within_an_archive_is_named_and_unpacked_first(tmp_path: Path) -> None:
    path = tmp_path / "books.zip"
    path.write_bytes(zipped(**{"one.txt": b"words", "two.txt": PAGE}))
    with pytest.raises(CorpusError, match=r"two\.txt in .*books\.zip is a web page") as caught:
        read_text(path)
    command = f"unzip -p {path} two.txt > unpacked, then make text of it: pandoc -f html -t plain"
    assert caught.value.remedy.startswith(command)


@pytest.mark.parametrize(
    "text",
    [
        "He wrote <html> on the wall, and below it %PDF-1.4.\n",
        "<!-- a remark -->\nThe rest is prose.\n",
        '<?xml version="1.0"?>\n<poem><line>Words.</line></poem>\n',
        "BZh9, said the robot. {\\rtf1} {\\rtf it answered.\n",
        "name,age\nAda,36\n",
    ],
)
def test_a_text_that_speaks_of_such_files_is_a_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text"
    path.write_text(text)
    assert read_text(path) == text
