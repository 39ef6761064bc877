"""Known corpora: what is cut off, and that the known checksum is that of the real file."""

import hashlib
from pathlib import Path

import pytest

from tinytx.errors import CorpusError, UsageError
from tinytx.train.corpus.named import NAMED, named_corpus, separate_stories, strip_gutenberg

CORPORA = Path(__file__).parents[4] / "shared" / "corpora"


def test_a_gutenberg_book_loses_its_licence_and_keeps_its_text() -> None:
    book = (
        "The Project Gutenberg eBook of X\nlicence\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n\nChapter 1\n\nText.\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nmore licence\n"
    )
    assert strip_gutenberg(book, "x") == "Chapter 1\n\nText.\n"
    old = book.replace("OF THE PROJECT", "OF THIS PROJECT").replace("*** START", "***START")
    assert strip_gutenberg(old, "x") == "Chapter 1\n\nText.\n"


@pytest.mark.parametrize("cut", ["*** START", "*** END"])
def test_a_book_without_its_marks_is_refused(cut: str) -> None:
    book = (
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\ntext\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n"
    )
    with pytest.raises(CorpusError, match="lacks the marks"):
        strip_gutenberg(book.replace(cut, "###"), "x")


def test_stories_are_separated_by_an_empty_line() -> None:
    text = "\nOne.\n\nStill one.\n<|endoftext|>\n\nTwo.\n<|endoftext|>\n"
    assert separate_stories(text, "x") == "One.\nStill one.\n\nTwo.\n"
    with pytest.raises(CorpusError, match="lacks the separator"):
        separate_stories("One.", "x")


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="known are gutenberg, tinyshakespeare, tinystories"):
        named_corpus("wikipedia")


def test_every_corpus_has_a_licence_and_a_secure_address() -> None:
    for corpus in NAMED.values():
        assert corpus.licence
        assert all(file.url.startswith("https://") for file in corpus.files)
        assert all(file.sha256 is None or len(file.sha256) == 64 for file in corpus.files)


@pytest.mark.corpora
def test_the_checksum_of_tiny_shakespeare_is_that_of_the_real_file() -> None:
    path = CORPORA / "tinyshakespeare.txt"
    if not path.is_file():
        pytest.skip("the shared corpora are not beside this checkout")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == NAMED["tinyshakespeare"].files[0].sha256
