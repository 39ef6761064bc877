"""Files of other programs, known by their bytes and not by their names, with the way to text.

Some of them decode as text without complaint (RTF, HTML, a PDF of the plain kind), and a model
would learn their markup.
"""

import re
import shlex
from dataclasses import dataclass

from tinytx.errors import CorpusError

HEAD = 4_096  # bytes that are looked at
OFFICE = "save it as plain text in UTF-8, or: libreoffice --convert-to 'txt:Text (encoded):UTF8' {}"
PANDOC = "make text of it: pandoc -t plain -o corpus.txt {}"
UNPACK = "unpack it and give the text"


@dataclass(frozen=True)
class Format:
    """A kind of file that is no plain text."""

    name: str
    """With its article, to complete "it is ..."."""
    remedy: str
    """What to do; ``{}`` stands for the file's name."""


HTML = Format("a web page (HTML)", PANDOC.replace("pandoc", "pandoc -f html"))
PDF = Format("a PDF document", "make text of it: pdftotext {} corpus.txt")
EPUB = Format("an e-book (EPUB)", PANDOC)
_BY_FIRST_BYTES = {
    b"{\\rtf": Format("a document in RTF", OFFICE),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Format("an old Word, Excel or PowerPoint file", OFFICE),
    b"%!PS-": Format("a PostScript document", "make text of it: ps2ascii {} corpus.txt"),
    b"7z\xbc\xaf\x27\x1c": Format("a 7-Zip archive", UNPACK),
    b"Rar!\x1a\x07": Format("a RAR archive", UNPACK),
    b"\xfd7zXZ\0": Format("packed with xz", UNPACK),
    b"BZh91AY&SY": Format("packed with bzip2", UNPACK),
    b"\x28\xb5\x2f\xfd": Format("packed with zstd", UNPACK),
}
_BY_PART = {
    "word/": Format("a Word document", OFFICE),
    "xl/": Format("an Excel workbook", "save its text as plain text in UTF-8"),
    "ppt/": Format("a PowerPoint presentation", "save its text as plain text in UTF-8"),
}
_OPEN_DOCUMENT = Format("an OpenDocument file", OFFICE)
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\b[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html\b|html[\s>])",
    re.DOTALL | re.IGNORECASE,
)


def recognise(data: bytes) -> Format | None:
    """What other kind of file begins like this; None for what may be text."""
    head = data[:HEAD]
    for first, kind in _BY_FIRST_BYTES.items():
        if head.startswith(first):
            return kind
    if head.lstrip().startswith(b"%PDF-"):
        return PDF
    if head[257:262] == b"ustar":
        return Format("a tar archive", UNPACK)
    if head[60:68] == b"BOOKMOBI":
        return Format("an e-book (MOBI)", "make text of it: ebook-convert {} corpus.txt")
    return HTML if _PAGE.match(head) else None


def recognise_members(names: list[str], mimetype: bytes) -> Format | None:
    """The same for a zip archive, by its members and by what its ``mimetype`` holds."""
    if mimetype.startswith(b"application/epub"):
        return EPUB
    if mimetype.startswith(b"application/vnd.oasis.opendocument"):
        return _OPEN_DOCUMENT
    if "[Content_Types].xml" in names:
        for folder, kind in _BY_PART.items():
            if any(name.startswith(folder) for name in names):
                return kind
        return Format("a file of an office program", OFFICE)
    return EPUB if "META-INF/container.xml" in names else None


def refusal(name: str, kind: Format, file: str, command: str = "") -> CorpusError:
    """The error for a file of that kind.

    ``file`` is its path; ``command`` unpacks it where it lies in an archive.
    """
    remedy = kind.remedy.format(shlex.quote("unpacked" if command else file))
    if command and kind.remedy != UNPACK:
        remedy = f"{command} > unpacked, then {remedy}"
    return CorpusError(f"{name} is {kind.name}, not plain text", remedy)
