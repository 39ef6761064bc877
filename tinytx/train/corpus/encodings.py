"""Bytes to characters: UTF-8, or UTF-16 and UTF-32 by their mark; anything else by its name.

Which older encoding a text has cannot be proven. It is guessed from what it would say: an encoding
is named when its decoder takes every byte and the characters are those that its languages use most.
"""

import codecs
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from tinytx.errors import CorpusError
from tinytx.train.corpus.formats import HEAD, recognise, refusal

Tell = Callable[[str], None]
"""Takes a sentence that the user should read though the run goes on."""
SAMPLE = 1 << 18  # bytes that the guess looks at
MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le", "UTF-32"),
    (b"\x00\x00\xfe\xff", "utf-32-be", "UTF-32"),
    (b"\xff\xfe", "utf-16-le", "UTF-16"),
    (b"\xfe\xff", "utf-16-be", "UTF-16"),
)
"""Byte order marks; UTF-32 before UTF-16, whose mark it begins with."""
KANA = "[\u3041-\u3096\u30a1-\u30fa\u30fc]"
SIMPLE = "[的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要]"
TRADITIONAL = "[的一是不了人我在有他這中大來上國個到說們為子和你地出道也時年得就那要]"
SYLLABLES = "[이다는을가에의를고은하지도로한기사리그나자아서어인으라니시대들있수]"
CYRILLIC, GREEK = "[оеаинтсрвлкмдпуяыьгзб]", "[αοιετσνηυρπκμλςάόίέή]"
SEVERAL_BYTES = (
    ("shift_jis", "SHIFT_JIS", KANA, 0.2),
    ("cp932", "CP932", KANA, 0.2),
    ("euc_jp", "EUC-JP", KANA, 0.2),
    ("gbk", "GBK", SIMPLE, 0.1),
    ("gb18030", "GB18030", SIMPLE, 0.1),
    ("big5", "BIG5", TRADITIONAL, 0.1),
    ("cp950", "CP950", TRADITIONAL, 0.1),
    ("euc_kr", "EUC-KR", SYLLABLES, 0.2),
    ("cp949", "CP949", SYLLABLES, 0.2),
)
SINGLE_BYTE = (
    ("cp1251", "WINDOWS-1251", CYRILLIC, 0.5),
    ("koi8_r", "KOI8-R", CYRILLIC, 0.5),
    ("cp1253", "WINDOWS-1253", GREEK, 0.5),
)
"""Python's decoder, iconv's name, characters that its texts are full of, and their least share of
the letters beyond ASCII. The narrower of two relatives comes first. That several bytes make one
usual character after the other is the stronger sign: decoders of single bytes take anything."""


@dataclass(frozen=True)
class Raw:
    """Bytes that should be a text."""

    name: str
    """What messages call it."""
    data: bytes
    file: str
    """The file that it is, or that holds it, as a shell is told it."""
    command: str = ""
    """The command whose output it is; empty where it is the file itself."""

    def converted(self, encoding: str) -> str:
        """The command that makes UTF-8 of it."""
        source = "" if self.command else f" {shlex.quote(self.file)}"
        pipe = f"{self.command} | " if self.command else ""
        return f"if it is {encoding}: {pipe}iconv -f {encoding} -t UTF-8{source} > corpus.txt"


def decode(raw: Raw, tell: Tell) -> str:
    """The text without its mark, lines ended by a newline alone; it may be blank.

    Raises :class:`CorpusError` for what is no text and for a text in another encoding, which is
    named with the command that converts it.
    """
    kind, text = recognise(raw.data), None
    if kind is None and (text := _with_mark(raw)) is not None:
        kind = recognise(text[:HEAD].encode())
    if kind is not None:
        raise refusal(raw.name, kind, raw.file, raw.command)
    text = _utf8(raw, tell) if text is None else text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _with_mark(raw: Raw) -> str | None:
    """The text behind a mark of UTF-16 or UTF-32; None where there is no such mark."""
    errors = []
    for mark, codec, encoding in MARKS:
        if raw.data.startswith(mark):
            try:
                text = raw.data[len(mark) :].decode(codec)
            except UnicodeDecodeError as error:
                errors.append((encoding, error.start + len(mark)))
                continue
            if (zero := text.find("\0")) >= 0:
                raise CorpusError(f"{raw.name} is not text: character {zero:,} of it is a zero")
            return text
    if errors:
        encoding, start = errors[-1]
        raise CorpusError(
            f"{raw.name} has the mark of {encoding} but is damaged at offset {start:,}",
            "it may have been cut, or was put together from different files",
        )
    return None


def _utf8(raw: Raw, tell: Tell) -> str:
    data = raw.data
    if (zero := data.find(0)) >= 0:
        raise CorpusError(
            f"{raw.name} is not text: there is a zero byte at offset {zero:,}", _wide(raw)
        )
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        bad = error
    if bad.end == len(data) and bad.reason == "unexpected end of data":
        tell(
            f"{raw.name} ends in the middle of a character, so it may have been cut: its last "
            f"{len(data) - bad.start} bytes are left out"
        )
        return data[: bad.start].decode("utf-8").removeprefix("\ufeff")
    raise CorpusError(
        f"{raw.name} is not UTF-8: byte 0x{data[bad.start]:02x} at offset {bad.start:,}",
        raw.converted(likely_encoding(data)),
    ) from bad


def _wide(raw: Raw) -> str:
    """What to do about UTF-16 without a mark: every other byte of such a text is often zero."""
    head = raw.data[:SAMPLE]
    for start, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if head[start::2].count(0) > 0.3 * len(head) / 2 and not head[1 - start :: 2].count(0):
            return raw.converted(encoding)
    return ""


def likely_encoding(data: bytes) -> str:
    """The name of the encoding that a text which is no UTF-8 most probably has, as iconv has it.

    Windows-1252 fills most of the gap 0x80 to 0x9f that Latin-1 leaves to control characters.
    """
    for candidates in (SEVERAL_BYTES, SINGLE_BYTE):
        best, share = "", 0.0
        for codec, name, usual, least in candidates:
            found = _usual_share(data, codec, usual)
            if found >= least and found > share:
                best, share = name, found
        if best:
            return best
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "ISO-8859-1"
    return "WINDOWS-1252" if any(0x80 <= byte < 0xA0 for byte in data[:SAMPLE]) else "ISO-8859-1"


def _usual_share(data: bytes, codec: str, usual: str) -> float:
    """The share of characters in ``usual`` among the letters beyond ASCII; 0 where the decoder
    refuses a byte, or where most letters are ASCII, as in a language with a few accents."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data[:SAMPLE], False)
    except UnicodeDecodeError:
        return 0.0
    beyond = re.findall(r"[^\W\d_]", re.sub("[\x00-\x7f]+", "", text))
    if len(beyond) < 0.4 * len(re.findall("[A-Za-z]", text)):
        return 0.0
    return len(re.findall(usual, "".join(beyond))) / max(1, len(beyond))
