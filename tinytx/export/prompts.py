"""Golden prompts: empty, short, not ASCII, and held-out text up to the longest context."""

from tinytx.tokenizer import Tokenizer

FIXED_PROMPTS = ["", "The", "¿Qué es esto? ", "naïve café — 你好"]


def golden_prompts(tokenizer: Tokenizer, held_out: str, longest: int) -> list[str]:
    """Prompts that leave room for a token or more in a context of ``longest`` tokens.

    The longest one leaves room for two tokens, where the text can be cut that way.
    """
    ids = tokenizer.encode(held_out)
    cuts = sorted({max(1, n) for n in (longest // 4, longest // 2, longest - 9)})
    prompts = FIXED_PROMPTS + [tokenizer.decode(ids[:n]) for n in cuts if n < len(ids)]
    prompts.append(_fullest(tokenizer, ids, longest - 2))
    return list(dict.fromkeys(p for p in prompts if len(tokenizer.encode(p)) + 1 < longest))


def _fullest(tokenizer: Tokenizer, ids: list[int], room: int) -> str:
    """The beginning of the text with the most tokens that fit into ``room``.

    A text that is cut and encoded again need not have the tokens that it was cut from.
    """
    candidates = [tokenizer.decode(ids[:n]) for n in range(max(1, room - 8), room + 1)]
    fits = [text for text in candidates if len(tokenizer.encode(text)) <= room]
    return max(fits, key=lambda text: len(tokenizer.encode(text)), default="")
