"""Text to token ids and back: the same code in training and on the device.

SentencePiece unigram with byte fallback and no normalisation, so that every text survives the
round trip, with one documented exception: U+2581, SentencePiece's own mark for a space, comes
back as a space. A newline is a piece of its own. It is the only separator that plain text has,
so a generation starts from one (:attr:`Tokenizer.start_id`).
"""

from collections.abc import Iterator
from functools import cached_property
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
        try:
            processor.LoadFromSerializedProto(model)
        except (RuntimeError, ValueError) as error:  # its own message may be no text
            raise TokenizerError(f"{name} is not a SentencePiece model") from error
        self._processor = processor
        self.vocab_size: int = processor.GetPieceSize()
        try:
            newline = processor.PieceToId("\n")
            unknown = processor.IsUnknown(newline)
            kept = self.decode(self.encode(PROBE)) == PROBE
        except (ValueError, IndexError, RuntimeError) as error:  # a piece that is no text
            raise TokenizerError(f"{name} is damaged: a piece in it cannot be read") from error
        if unknown:
            raise TokenizerError(f"{name} was not made by tinytx: it has no piece for a newline")
        if not kept:
            raise TokenizerError(f"{name} was not made by tinytx: it does not keep every text")
        self.start_id: int = newline

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read a model file. Raises :class:`TokenizerError`."""
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise TokenizerError(f"cannot read {path}: {error.strerror}") from error

    @property
    def model(self) -> bytes:
        """The model that it was made from."""
        return bytes(self._processor.serialized_model_proto())

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without a start token."""
        ids: list[int] = []
        for piece in _chunks(text):
            ids.extend(self._processor.EncodeAsIds(piece))
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids``; bytes that form no valid UTF-8 become U+FFFD."""
        return b"".join(self.piece_bytes[i] for i in ids).decode("utf-8", errors="replace")

    @cached_property
    def piece_bytes(self) -> list[bytes]:
        """The UTF-8 bytes that each id stands for (a byte piece stands for one byte)."""
        table: list[bytes] = []
        for i in range(self.vocab_size):
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
