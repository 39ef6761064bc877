"""What travels of the settings: names without folders, addresses without secrets."""

import os

import msgspec
import pytest

from tinytx.config import CorpusSettings, Settings, as_dict
from tinytx.train.recorded import as_text, bare_address, bare_name, without_folders


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/someone/book.txt", "book.txt"),
        ("book.txt", "book.txt"),
        ("../texts/", "texts"),
        (".", "."),
        ("/", "."),
        (os.fsdecode(b"/home/caf\xe9.txt"), "caf\\xe9.txt"),
    ],
)
def test_a_path_is_recorded_by_its_last_part(path: str, name: str) -> None:
    assert bare_name(path) == name


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org/a/b.txt", "https://example.org/a/b.txt"),
        ("https://me:secret@example.org:8080/b.txt", "https://example.org:8080/b.txt"),
        ("https://example.org/b.txt?token=secret&x=1#part", "https://example.org/b.txt"),
        ("file:///home/someone/b.txt", "file:///b.txt"),
        ("FILE://localhost/home/someone/b.txt", "file:///b.txt"),
        ("http://[::1", ""),
    ],
)
def test_an_address_is_recorded_without_what_is_secret(url: str, kept: str) -> None:
    assert bare_address(url) == kept


def test_settings_keep_everything_but_the_folders() -> None:
    corpus = CorpusSettings(path=("/home/me/a.txt", "/home/me/b"), val_path="/home/me/v.txt")
    settings = Settings(corpus=corpus)
    travelling = without_folders(settings)
    assert travelling.corpus.paths == ("a.txt", "b")
    assert travelling.corpus.val_path == "v.txt"
    corpus = msgspec.structs.replace(travelling.corpus, path=corpus.path, val_path=corpus.val_path)
    assert msgspec.structs.replace(travelling, corpus=corpus) == settings
    assert without_folders(Settings()) == Settings()
    one = Settings(corpus=CorpusSettings(path="/home/me/a.txt"))
    assert without_folders(one).corpus.path == "a.txt"
    address = Settings(corpus=CorpusSettings(url="https://me@example.org/a"))
    assert without_folders(address).corpus.url == "https://example.org/a"


def test_settings_as_text_keep_their_folders_and_can_be_written() -> None:
    path = os.fsdecode(b"/home/caf\xe9.txt")
    settings = as_text(Settings(corpus=CorpusSettings(path=path, val_path="/v.txt")))
    assert settings.corpus.path == "/home/caf\\xe9.txt"
    assert settings.corpus.val_path == "/v.txt"
    msgspec.json.encode(as_dict(settings))
