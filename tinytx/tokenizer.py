"""Text to token ids and back: the same code in training and on the device.

SentencePiece unigram with byte fallback and no normalisation, so that every text survives the
round trip, with one documented exception: U+2581, SentencePiece's own mark for a space, comes
back as a space. A newline is a piece of its own. It is the only separator that plain text has,
so a generation starts from one (:attr:`Tokenizer.start_id`).
"""

from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from tinytx.errors import TokenizerError

ENCODE_CHUNK = 1 << 20  # characters handed to SentencePiece at once
PROBE = " \n\r\t  ﬁ①ａ\U0010ffff "  # what normalisation, or a lack of byte pieces, would change


class Tokenizer:
    """A SentencePiece model of the form that tinytx trains."""

    def __init__(self, model: bytes, name: str = "tokenizer.model") -> None:
        """Raises :class:`TokenizerError` when ``model`` is not such a SentencePiece model."""
        processor = sentencepiece.SentencePieceProcessor()
        foreign = f"{name} is not a SentencePiece model"
        try:
            processor.LoadFromSerializedProto(model)
        except (RuntimeError, ValueError) as error:  # or its own message is no UTF-8
            raise TokenizerError(foreign) from error
        self._processor = processor
        try:
            self.piece_bytes = self._read_pieces()
        except (ValueError, IndexError) as error:  # pieces that are no UTF-8, bytes out of range
            raise TokenizerError(f"{foreign}: a piece of it cannot be read") from error
        newline = processor.PieceToId("\n")
        if processor.IsUnknown(newline):
            raise TokenizerError(f"{name} was not made by tinytx: it has no piece for a newline")
        self.start_id: int = newline
        self.vocab_size: int = processor.GetPieceSize()
        if self.decode(self.encode(PROBE)) != PROBE:
            raise TokenizerError(f"{name} was not made by tinytx: it does not keep every text")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file. Raises :class:`TokenizerError`."""
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise TokenizerError(f"cannot read {path}: {error.strerror}") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without a start token."""
        ids: list[int] = []
        for piece in _chunks(text):
            ids.extend(self._processor.EncodeAsIds(piece))
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids``; bytes that form no valid UTF-8 become U+FFFD."""
        return b"".join(self.piece_bytes[i] for i in ids).decode("utf-8", errors="replace")

    piece_bytes: list[bytes]
    """The UTF-8 bytes that each id stands for (a byte piece stands for one byte)."""

    def _read_pieces(self) -> list[bytes]:
        table: list[bytes] = []
        for i in range(self._processor.GetPieceSize()):
            piece: str = self._processor.IdToPiece(i)
            if self._processor.IsByte(i):
                table.append(bytes([int(piece[3:5], 16)]))  # "<0xE2>"
            elif self._processor.IsUnknown(i) or self._processor.IsControl(i):
                table.append(b"")
            else:
                table.append(piece.replace("\u2581", " ").encode())
        return table


def _chunks(text: str) -> Iterator[str]:
    """Cut after newlines, so that no piece straddles a cut, into bounded strings."""
    start = 0
    while start < len(text):
        end = min(start + ENCODE_CHUNK, len(text))
        if end < len(text):
            newline = text.rfind("\n", start, end)
            end = newline + 1 if newline >= start else end
        yield text[start:end]
        start = end
