"""Bytes to characters: UTF-8, or UTF-16 and UTF-32 by their mark; anything else by its name.

Which older encoding a text has cannot be proven. It is guessed from what it would say: an encoding
is named when its decoder takes every byte and the characters are those that its languages use most.
"""

import codecs
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tinytx.errors import CorpusError
from tinytx.train.corpus.formats import HEAD, recognise, refusal

Tell = Callable[[str], None]
"""Takes a sentence that the user should read though the run goes on."""
Opener = Callable[[], BinaryIO]
"""Opens bytes from their beginning, as often as it is called."""
SAMPLE = 1 << 18  # bytes that the guess looks at
BLOCK = 1 << 20  # bytes that are decoded at once
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
    open: Opener
    file: str
    """The file that it is, or that holds it, as a shell is told it."""
    command: str = ""
    """The command whose output it is; empty where it is the file itself."""

    def converted(self, encoding: str) -> str:
        """The command that makes UTF-8 of it."""
        source = "" if self.command else f" {shlex.quote(self.file)}"
        pipe = f"{self.command} | " if self.command else ""
        return f"if it is {encoding}: {pipe}iconv -f {encoding} -t UTF-8{source} > corpus.txt"


def decode(raw: Raw, tell: Tell) -> Iterator[str]:
    """The text without its mark, lines ended by a newline alone, in parts; it may be blank.

    Raises :class:`CorpusError` for what is no text and for a text in another encoding, which is
    named with the command that converts it.
    """
    with raw.open() as stream:
        head = stream.read(BLOCK)
        if (kind := recognise(head)) is not None:
            raise refusal(raw.name, kind, raw.file, raw.command)
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        marked = _mark(head)
        parts = _with_mark(raw, head, stream, marked) if marked else _utf8(raw, head, stream, tell)
        for part in parts:
            yield newlines.decode(part)
        yield newlines.decode("", final=True)


def _mark(head: bytes) -> tuple[bytes, str, str] | None:
    """The mark that a text begins with. That of UTF-32 may be UTF-16's and a zero besides."""
    for mark, codec, encoding in MARKS:
        if head.startswith(mark):
            try:
                codecs.getincrementaldecoder(codec)().decode(head[len(mark) :])
            except UnicodeDecodeError:
                if encoding == "UTF-32":
                    continue
            return mark, codec, encoding
    return None


def _with_mark(
    raw: Raw, head: bytes, stream: BinaryIO, marked: tuple[bytes, str, str]
) -> Iterator[str]:
    """The text behind a mark of UTF-16 or UTF-32."""
    mark, codec, encoding = marked
    decoder, done, characters = codecs.getincrementaldecoder(codec)(), len(mark), 0
    block, first = head[len(mark) :], True
    while block or first:
        following = stream.read(BLOCK)
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not following)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{raw.name} has the mark of {encoding} but is damaged at offset "
                f"{done - held + error.start:,}",
                "it may have been cut, or was put together from different files",
            ) from error
        if first and (kind := recognise(text[:HEAD].encode())) is not None:
            raise refusal(raw.name, kind, raw.file, raw.command)
        if (zero := text.find("\0")) >= 0:
            raise CorpusError(
                f"{raw.name} is not text: character {characters + zero:,} of it is a zero"
            )
        yield text
        done, characters, first = done + len(block), characters + len(text), False
        block = following


def _utf8(raw: Raw, head: bytes, stream: BinaryIO, tell: Tell) -> Iterator[str]:
    decoder, done, block = codecs.getincrementaldecoder("utf-8")(), 0, head
    while block:
        if (zero := block.find(0)) >= 0:
            raise CorpusError(
                f"{raw.name} is not text: there is a zero byte at offset {done + zero:,}",
                _wide(raw),
            )
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{raw.name} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
                f"{done - held + error.start:,}",
                raw.converted(likely_encoding(raw.open)),
            ) from error
        yield text if done else text.removeprefix("\ufeff")
        done += len(block)
        block = stream.read(BLOCK)
    if left := len(decoder.getstate()[0]):
        tell(
            f"{raw.name} ends in the middle of a character, so it may have been cut: its last "
            f"{left} bytes are left out"
        )


def _wide(raw: Raw) -> str:
    """What to do about UTF-16 without a mark: every other byte of such a text is often zero."""
    with raw.open() as stream:
        head = stream.read(SAMPLE)
    for start, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if head[start::2].count(0) > 0.3 * len(head) / 2 and not head[1 - start :: 2].count(0):
            return raw.converted(encoding)
    return ""


def likely_encoding(opener: Opener) -> str:
    """The name of the encoding that a text which is no UTF-8 most probably has, as iconv has it.

    Windows-1252 fills most of the gap 0x80 to 0x9f that Latin-1 leaves to control characters.
    """
    with opener() as stream:
        head = stream.read(SAMPLE)
        for candidates in (SEVERAL_BYTES, SINGLE_BYTE):
            best, share = "", 0.0
            for codec, name, usual, least in candidates:
                found = _usual_share(head, codec, usual)
                if found >= least and found > share:
                    best, share = name, found
            if best:
                return best
        block = head
        while block:
            try:
                block.decode("cp1252")
            except UnicodeDecodeError:
                return "ISO-8859-1"
            block = stream.read(BLOCK)
    return "WINDOWS-1252" if any(0x80 <= byte < 0xA0 for byte in head) else "ISO-8859-1"


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
