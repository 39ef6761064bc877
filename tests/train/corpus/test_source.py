"""From settings to a split corpus: files, folders, addresses, names."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tinytx.config import CorpusSettings
from tinytx.errors import CorpusError
from tinytx.train.corpus import named, source
from tinytx.train.corpus.source import input_hashes, own_bits_per_byte, recorded_files
from tinytx.train.progress import Reporter
from tinytx.workspace import sha256_file


@dataclass
class Texts:
    """What :func:`source.obtain` has written."""

    train: str
    val: str
    source: str
    val_information_bits: float | None
    files: dict[str, Any]


Obtain = Callable[..., Texts]


class Listening(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
def obtain(tmp_path: Path, listening: Listening) -> Obtain:
    def corpus(**settings: Any) -> Texts:
        folder = tmp_path / "made"
        made = source.obtain(CorpusSettings(**settings), tmp_path / "downloads", listening, folder)
        texts = []
        for part in (made.train, made.val):
            raw = part.path.read_bytes()
            assert (part.size, part.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
            texts.append(raw.decode())
        return Texts(*texts, made.source, made.val_information_bits, made.files)

    return corpus


def write(path: Path, data: bytes | str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def lines_of(corpus: Texts) -> list[str]:
    return sorted((corpus.train + corpus.val).splitlines())


def test_a_text_file_is_split_and_nothing_of_it_lost(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    corpus = obtain(path=write(tmp_path / "text", text))
    assert lines_of(corpus) == sorted(text.splitlines())
    assert corpus.source == str(tmp_path / "text")
    assert corpus.val_information_bits is None
    assert 0.05 < len(corpus.val) / len(text) < 0.2


def test_with_a_validation_file_nothing_is_held_out(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    val = write(tmp_path / "val", "short is fine\n")
    corpus = obtain(path=write(tmp_path / "text", text), val_path=val)
    assert (corpus.train, corpus.val) == (text, "short is fine\n")


def test_several_files_and_folders_are_one_text(obtain: Obtain, tmp_path: Path, text: str) -> None:
    one = write(tmp_path / "one", text[:4_000])
    write(tmp_path / "folder" / "b.txt", text[6_000:])
    write(tmp_path / "folder" / "a.txt.gz", gzip.compress(text[4_000:6_000].encode()))
    val = write(tmp_path / "val", "held out\n")
    corpus = obtain(path=(one, str(tmp_path / "folder")), val_path=val)
    assert corpus.train == "\n\n".join((text[:4_000], text[4_000:6_000], text[6_000:]))
    assert corpus.source == "3 files"


def test_a_text_that_is_too_short_to_split_is_refused_with_its_size(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    short = write(tmp_path / "text", text[:1_900])
    size = (tmp_path / "text").stat().st_size
    with pytest.raises(CorpusError, match=f"too short to split: {size:,} bytes") as caught:
        obtain(path=short)
    assert "--val-path" in caught.value.remedy
    assert obtain(path=short, val_path=short).val == text[:1_900]  # the remedy works


def test_copies_of_held_out_paragraphs_are_not_trained_on(
    obtain: Obtain, tmp_path: Path, listening: Listening
) -> None:
    story = "A story that the collection holds again and again, as web pages do. " * 2
    stories = [
        f"Story {i}. " + "It has words of its own, and goes on for a while. " * 3
        for i in range(600)
    ]
    mixed = [part for own in stories for part in (own, story)]
    corpus = obtain(path=write(tmp_path / "text", "\n\n".join(mixed)))
    assert story.strip() in corpus.val
    assert story.strip() not in corpus.train
    assert any("copies of held-out paragraphs left out" in said for said in listening.said)


def test_a_text_that_only_repeats_itself_is_refused(obtain: Obtain, tmp_path: Path) -> None:
    page = "The same page, with enough words on it to be called a document by whoever counts. " * 2
    with pytest.raises(CorpusError, match="repeats itself"):
        obtain(path=write(tmp_path / "text", "\n\n".join([page] * 400)))


def test_a_validation_text_that_is_in_the_training_text_is_told(
    obtain: Obtain, tmp_path: Path, listening: Listening, text: str
) -> None:
    page = "One page of the book, which somebody has copied into the validation file as well. " * 2
    whole = write(tmp_path / "text", f"{text}\n\n{page}\n\n{text}")
    corpus = obtain(path=whole, val_path=write(tmp_path / "val", page))
    assert page.strip() in corpus.train  # the user's own split is the user's
    assert any("flatters the model" in said for said in listening.said)


def test_the_built_in_corpus_may_have_a_validation_file(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    val = write(tmp_path / "val", text)
    corpus = obtain(train_bytes=20_000, val_bytes=4_000, val_path=val)
    assert corpus.val == text
    assert corpus.val_information_bits is None
    assert len(corpus.train.encode()) >= 20_000


@pytest.mark.parametrize("path", ["text", "packed.gz"])
def test_an_address_is_downloaded_and_unpacked(
    obtain: Obtain, server: Any, text: str, path: str
) -> None:
    corpus = obtain(url=f"{server.url}/{path}")
    assert lines_of(corpus) == sorted(text.splitlines())
    assert corpus.source == f"{server.url}/{path}"


@pytest.mark.parametrize(("path", "words"), [("binary", "zero byte"), ("empty", "is empty")])
def test_an_address_without_text_is_refused(
    obtain: Obtain, server: Any, path: str, words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        obtain(url=f"{server.url}/{path}")


def test_a_named_corpus_is_cleaned_and_split_in_its_own_way(
    obtain: Obtain, server: Any, text: str, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = named.NamedCorpus(
        title="a text", licence="ours", files=(named.NamedFile(f"{server.url}/text"),),
        clean=lambda text, name: text.upper(), last_part=0.1,
    )  # fmt: skip
    monkeypatch.setitem(named.NAMED, "tinyshakespeare", mine)
    corpus = obtain(name="tinyshakespeare")
    assert corpus.train + corpus.val == text.upper()
    assert len(corpus.val) == pytest.approx(len(text) / 10, abs=1)
    assert listening.said[0] == "a text; licence: ours"


def test_inputs_are_every_file_that_is_read(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "1")
    two = write(tmp_path / "folder" / "two.txt", "2")
    val = write(tmp_path / "val", "3")
    settings = CorpusSettings(path=(one, str(tmp_path / "folder")), val_path=val)
    expected = {path: sha256_file(Path(path)) for path in (one, two, val)}
    assert input_hashes(settings) == expected
    assert input_hashes(CorpusSettings()) == {}


def test_the_texts_own_information_is_read_where_it_is_known(tmp_path: Path) -> None:
    facts = tmp_path / "corpus.json"
    assert own_bits_per_byte(facts) is None
    for words, expected in (
        ('{"val_information_bits": 80.0, "val_bytes": 100}', 0.8),
        ('{"val_information_bits": null, "val_bytes": 100}', None),
        ("[]", None),
        ("{", None),
    ):
        assert own_bits_per_byte(Path(write(facts, words))) == expected


def test_an_empty_file_in_a_folder_is_passed_over_with_a_word(
    obtain: Obtain, tmp_path: Path, text: str, listening: Listening
) -> None:
    folder = tmp_path / "folder"
    for name, data in (("a.txt", text), ("b.txt", ""), ("c.txt", " \n\n"), ("d.txt", text[:99])):
        write(folder / name, data)
    corpus = obtain(path=str(folder), val_path=write(tmp_path / "val", "held out\n"))
    assert corpus.train == f"{text}\n\n{text[:99]}"
    assert listening.said == [f"left out, being empty: {folder}/b.txt, {folder}/c.txt"]
    with pytest.raises(CorpusError, match=r"b\.txt is empty"):  # it was asked for by name
        obtain(path=(str(folder / "a.txt"), str(folder / "b.txt")))
    for name in ("a.txt", "d.txt"):
        (folder / name).write_text("\n")
    with pytest.raises(CorpusError, match=r"every text file in .*folder is empty"):
        obtain(path=str(folder))


def test_what_a_folder_leaves_out_is_said(
    obtain: Obtain, tmp_path: Path, text: str, listening: Listening
) -> None:
    write(tmp_path / "folder" / "a.txt", text)
    write(tmp_path / "folder" / "b.csv", "1,2")
    write(tmp_path / "folder" / "c.html", "<p>words")
    obtain(path=str(tmp_path / "folder"))
    assert listening.said[0].endswith("1 .csv, 1 .html")


def test_a_document_in_a_folder_of_texts_is_refused_by_its_name(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    write(tmp_path / "folder" / "a.txt", text)
    write(tmp_path / "folder" / "b.txt", "{\\rtf1 words}")
    with pytest.raises(CorpusError, match=r"b\.txt is a document in RTF"):
        obtain(path=str(tmp_path / "folder"))


def test_a_text_from_the_network_in_another_encoding_is_converted_where_it_lies(
    obtain: Obtain, server: Any, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "body", text.encode("latin-1"))
    with pytest.raises(CorpusError, match="not UTF-8") as caught:
        obtain(url=f"{server.url}/text")
    (kept,) = (tmp_path / "downloads").iterdir()
    command = f"iconv -f ISO-8859-1 -t UTF-8 {kept} > corpus.txt"
    assert caught.value.remedy == f"if it is ISO-8859-1: {command}"


def test_a_corpus_records_its_files_by_name_number_and_hash_in_any_folder(
    obtain: Obtain, tmp_path: Path, text: str
) -> None:
    records = []
    for folder in (tmp_path / "one", tmp_path / "another" / "place"):
        for i in range(25):
            write(folder / f"{i:02}.txt", f"{i} {text}")
        records.append(obtain(path=str(folder)).files)
    assert records[0] == records[1]
    assert records[0]["files"] == 25
    assert records[0]["names"] == [f"{i:02}.txt" for i in range(20)]
    hashes = [hashlib.sha256(f"{i} {text}".encode()).hexdigest() for i in range(25)]
    together = hashlib.sha256("".join(f"{h}\n" for h in hashes).encode()).hexdigest()
    assert records[0]["files_sha256"] == together
    write(tmp_path / "one" / "24.txt", f"25 {text}")
    assert obtain(path=str(tmp_path / "one")).files["files_sha256"] != together


def test_the_record_of_the_files_is_that_of_the_text_that_is_there(tmp_path: Path) -> None:
    facts = tmp_path / "corpus.json"
    assert recorded_files(facts, "abc") == {}
    for words, expected in (
        ('{"train_sha256": "abc", "files": {"files": 1}}', {"files": 1}),
        ('{"train_sha256": "abd", "files": {"files": 1}}', {}),
        ('{"train_sha256": "abc"}', {}),
        ('{"train_sha256": "abc", "files": [1]}', {}),
        ("[]", {}),
        ("{", {}),
    ):
        assert recorded_files(Path(write(facts, words)), "abc") == expected
