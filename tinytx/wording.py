"""Words of messages: numbers with their nouns, and text that cannot steer a terminal."""


def counted(number: int, noun: str, several: str = "") -> str:
    """``1 pair``, ``2 pairs``; ``several`` is the plural where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def printable(text: str, keep: str = "") -> str:
    """``text`` with a question mark for whatever could steer a terminal: control characters,
    overrides of the direction of writing, lone surrogates. ``keep`` are those that may stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else "?" for one in text)
