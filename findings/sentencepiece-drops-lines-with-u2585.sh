#!/usr/bin/env bash
# sentencepiece 0.2.3: a line that holds U+2585 (LOWER FIVE EIGHTHS BLOCK, as bar charts of text use
# it) is left out of training without an error. The model that comes out encodes and decodes the
# character without loss, but whatever else stood on those lines was never seen.
# Reason: the trainer puts that character in the place of those that get no piece, and skips a
# sentence that holds it already. Only its log (level INFO) tells, for the first few lines.
# What to do: split such lines at the character before they are handed over.
#
# Run by hand: bash findings/sentencepiece-drops-lines-with-u2585.sh
# Ends with 0 if it is still so, with 1 if it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sentencepiece==0.2.3
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import sentencepiece


def pieces_of(lines: list[str]) -> set[str]:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=300, byte_fallback=True,
        hard_vocab_limit=False, minloglevel=1,
    )
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model.getvalue())
    assert processor.DecodeIds(processor.EncodeAsIds("a \u2585 b")) == "a \u2585 b"
    return {processor.IdToPiece(i) for i in range(processor.GetPieceSize())}


prose = ["the river runs to the sea", "a boat on the river", "the sea is cold"] * 200
found = {}
for sign in ("\u2584", "\u2585", "\u2586"):  # the character and its neighbours
    pieces = pieces_of(prose + [f"{sign} zxyzqj"] * 500)
    found[sign] = any("zx" in piece or "qj" in piece for piece in pieces)
    print(f"U+{ord(sign):04X}: the word on its line is {'' if found[sign] else 'not '}learned")
print("sentencepiece", sentencepiece.__version__)
if list(found.values()) == [True, False, True]:
    print("as stated: lines with U+2585 are dropped, those with its neighbours are not")
else:
    print("this has changed")
    sys.exit(1)
PYTHON
