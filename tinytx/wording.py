"""Words of messages: numbers with their nouns."""


def counted(number: int, noun: str, several: str = "") -> str:
    """``1 pair``, ``2 pairs``; ``several`` is the plural where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
