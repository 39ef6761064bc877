"""A change of any bit of a bundle is found, and nothing outside its folder is ever read."""

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tinytx import bundle
from tinytx.bundle import MANIFEST, Bundle, FileFacts, Manifest
from tinytx.errors import BundleError

FILES = ["golden.json", "manifest.json", "model.onnx", "tokenizer.model"]


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def check(folder: Path) -> None:
    """Everything that is read of a bundle before it runs."""
    opened = Bundle(folder)
    opened.check_files()
    opened.golden()


def seal(folder: Path, **changes: Any) -> Manifest:
    """Change the manifest and give it a valid id, as someone who knows the format could."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    unsealed = msgspec.structs.replace(manifest, **changes)
    sealed = msgspec.structs.replace(unsealed, id=bundle.identify(unsealed))
    (folder / MANIFEST).write_bytes(bundle.encode(sealed))
    return sealed


def facts_of(data: bytes) -> FileFacts:
    return FileFacts(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def test_a_real_bundle_is_whole(tiny_bundle: Path) -> None:
    check(tiny_bundle)
    assert sorted(p.name for p in tiny_bundle.iterdir()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_the_bundle_is_found(copy: Path, name: str) -> None:
    path = copy / name
    whole = path.read_bytes()
    bits = 8 * len(whole)
    sample = {0, bits - 1, *random.Random(name).sample(range(bits), 100)}
    for bit in sorted(sample):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            check(copy)
    path.write_bytes(whole)
    check(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_lengthened_or_emptied_is_found(copy: Path, name: str) -> None:
    path = copy / name
    whole = path.read_bytes()
    cuts = random.Random(name).sample(range(1, len(whole)), 10)
    for changed in [b"", whole + b"\n", whole + b"\0", whole[1:], *(whole[:n] for n in cuts)]:
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            check(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{re.escape(name)} is missing"):
        check(copy)


@pytest.mark.parametrize("name", ["extra", ".hidden", "model.int8.onnx", "MANIFEST.JSON"])
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_an_extra_file_or_folder_is_named(
    copy: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(copy / name)
    with pytest.raises(BundleError, match=f"holds '{re.escape(name)}', which no manifest vouches"):
        check(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_not_followed_even_to_the_right_bytes(
    copy: Path, tmp_path: Path, name: str
) -> None:
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleError, match=f"cannot read .*{re.escape(name)}"):
        check(copy)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused_at_once(
    copy: Path, name: str, make: Callable[[Path], None]
) -> None:
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(BundleError, match=re.escape(name)):
        check(copy)


def test_a_device_in_the_place_of_a_file_is_refused(copy: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    (copy / "golden.json").unlink()
    try:
        os.mknod(copy / "golden.json", 0o020644, os.makedev(1, 5))  # /dev/zero
    except OSError:
        pytest.skip("no device can be made here")
    with pytest.raises(BundleError, match=r"golden\.json"):
        check(copy)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/hostname",
        "a/b",
        "..",
        ".",
        "",
        ".hidden",
        "-x",
        "a\n",
        "a\0",
        "a b",
        "ñ",
        "a" * 101,
        "manifest.json",
    ],
)
def test_a_sealed_manifest_cannot_name_a_file_outside_the_bundle(copy: Path, name: str) -> None:
    data = b"outside"
    (copy.parent / "outside").write_bytes(data)
    files = Bundle(copy).manifest.files
    seal(copy, files={**files, name: facts_of(data)})
    with pytest.raises(BundleError, match="that cannot be in a bundle"):
        Bundle(copy)


def test_a_sealed_manifest_may_list_one_more_file(copy: Path) -> None:
    (copy / "model.int8.onnx").write_bytes(b"more")
    seal(copy, files={**Bundle(copy).manifest.files, "model.int8.onnx": facts_of(b"more")})
    check(copy)
    assert Bundle(copy).read_file("model.int8.onnx") == b"more"


def test_a_sealed_manifest_that_lists_too_little_is_refused(copy: Path) -> None:
    seal(copy, files={})
    with pytest.raises(BundleError, match="no manifest vouches for"):
        check(copy)
    with pytest.raises(BundleError, match=r"lists no golden\.json"):
        Bundle(copy).golden()


@pytest.mark.parametrize("size", [100_000_001, 2**40, 2**64, -1, 1.5, "9", None, True])
def test_a_size_that_no_file_can_have_is_refused(copy: Path, size: object) -> None:
    document = json.loads((copy / MANIFEST).read_text())
    document["files"]["model.onnx"]["size"] = size
    (copy / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        Bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_many_gigabytes_is_refused_without_being_read(copy: Path, name: str) -> None:
    os.truncate(copy / name, 1 << 40)  # sparse: a terabyte that takes no space
    with pytest.raises(BundleError, match="larger than it may be"):
        check(copy)


@pytest.mark.parametrize("schema", [0, 2, -1, 10**15])
def test_an_unknown_schema_says_what_to_do_even_when_everything_else_changed(
    copy: Path, schema: int
) -> None:
    (copy / MANIFEST).write_text(json.dumps({"schema": schema, "something": "new"}))
    with pytest.raises(BundleError, match=f"has schema {schema}; this tinytx reads") as caught:
        Bundle(copy)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{}",
        b'{"schema": "1"}',
        b'{"schema": null}',
        b'{"schema": 1}',
        b'{"schema": 1e400}',
        b'{"schema": ' + b"9" * 5_000 + b"}",
        b'{"schema": 1, "id": ' + b"[" * 100_000,
        b'{"a": ' * 100_000,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_manifest_that_is_none_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle(copy)


def test_a_key_given_twice_or_another_spelling_of_the_same_facts_is_refused(copy: Path) -> None:
    raw = (copy / MANIFEST).read_bytes()
    document = json.loads(raw)
    spellings = [
        raw.replace(b'{\n  "files"', b'{\n  "schema": 1,\n  "files"', 1),
        raw.replace(b'"schema": 1', b'"schema": 1,\n  "schema": 1', 1),
        raw.replace(b'"heads": 2', b'"heads": 2,\n    "heads": 2', 1),
        raw.replace(b'"heads": 2', b'"heads": 2.0', 1),
        raw.replace(b'"heads": 2', b'"heads":  2', 1),
        raw.replace(b'"id"', b'"\\u0069d"', 1),
        raw.replace(b"\n", b"\r\n"),
        raw + b" ",
        raw[:-1],
        json.dumps(document).encode(),
        json.dumps(document, indent=2).encode() + b"\n",
        raw.replace(b'"float32"', b'"\\ud800"', 1),
    ]
    for spelling in spellings:
        assert spelling != raw
        (copy / MANIFEST).write_bytes(spelling)
        with pytest.raises(BundleError):
            Bundle(copy)


def test_a_fact_changed_without_a_new_id_is_refused_and_a_new_id_is_another_bundle(
    copy: Path,
) -> None:
    raw = (copy / MANIFEST).read_bytes()
    quality = Bundle(copy).manifest.quality
    old = Bundle(copy).id
    (copy / MANIFEST).write_bytes(raw.replace(b'"start_id": 1', b'"start_id": 2', 1))
    with pytest.raises(BundleError, match="was changed after it was written"):
        Bundle(copy)
    (copy / MANIFEST).write_bytes(raw)
    assert seal(copy, quality=msgspec.structs.replace(quality, bits_per_byte=0.1)).id != old
    check(copy)


def test_the_id_is_the_sha256_of_the_manifest_with_an_empty_id(tiny_bundle: Path) -> None:
    raw = (tiny_bundle / MANIFEST).read_bytes()
    stated = json.loads(raw)["id"]
    without = raw.replace(f'"id": "{stated}"'.encode(), b'"id": ""')
    assert hashlib.sha256(without).hexdigest() == stated == Bundle(tiny_bundle).id


def test_what_the_manifest_says_of_the_files_is_true(tiny_bundle: Path) -> None:
    files = json.loads((tiny_bundle / MANIFEST).read_text())["files"]
    for name, facts in files.items():
        data = (tiny_bundle / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def test_writing_the_same_twice_gives_the_same_bytes_whatever_the_order(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    opened = Bundle(tiny_bundle)
    contents = {name: opened.read_file(name) for name in opened.manifest.files}
    settings = opened.manifest.provenance.settings
    turned = msgspec.structs.replace(
        opened.manifest.provenance, settings=dict(reversed(settings.items()))
    )
    for folder, files, provenance in [
        (tmp_path / "a", contents, opened.manifest.provenance),
        (tmp_path / "b", dict(reversed(contents.items())), turned),
    ]:
        folder.mkdir()
        manifest = msgspec.structs.replace(
            opened.manifest, id="anything", files={}, provenance=provenance
        )
        assert bundle.write(folder, manifest, files).id == opened.id
        for name in FILES:
            assert (folder / name).read_bytes() == (tiny_bundle / name).read_bytes()


def test_encoding_is_one_byte_string_per_value(tiny_bundle: Path) -> None:
    raw = (tiny_bundle / MANIFEST).read_bytes()
    assert bundle.encode(msgspec.json.decode(raw, type=Manifest)) == raw
    keys = re.findall(rb'\n  "(\w+)":', raw)
    assert keys == sorted(keys)


def test_what_is_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle: no such folder"):
        Bundle(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        Bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        (b"{}", "is damaged"),
        (b'{"schema": 2, "cases": []}', "has schema 2, not 1"),
        (b'{"schema": 1, "cases": [{"prompt": "a", "tokens": [-1]}]}', "is damaged"),
        (b'{"schema": 1, "cases": [], "more": 1}', "is damaged"),
        (b"\xff", "is damaged"),
    ],
)
def test_golden_outputs_of_another_form_are_refused(copy: Path, golden: bytes, words: str) -> None:
    (copy / "golden.json").write_bytes(golden)
    seal(copy, files={**Bundle(copy).manifest.files, "golden.json": facts_of(golden)})
    with pytest.raises(BundleError, match=words):
        check(copy)
