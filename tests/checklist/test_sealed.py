"""What a bundle itself shows: each of these items fails for its reason."""

import getpass
import shutil
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.remote.bundles import with_file
from tinytx.bundle import Bundle, FileFacts, Manifest, Variant
from tinytx.checklist import sealed
from tinytx.checklist.items import Found, State


@pytest.fixture
def manifest(tiny_bundle: Path) -> Manifest:
    return Bundle(tiny_bundle).manifest


def changed(manifest: Manifest, part: str, **values: Any) -> Manifest:
    """The manifest with some values of one of its records replaced."""
    record = msgspec.structs.replace(getattr(manifest, part), **values)
    return msgspec.structs.replace(manifest, **{part: record})


def fails(found: Found, why: str) -> None:
    assert found.state is State.NOT_DONE, found
    assert why in found.told


@pytest.mark.long
def test_a_real_bundle_passes_whatever_it_can_show_itself(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    for found in (
        sealed.hashes(bundle), sealed.golden(bundle), sealed.parity(bundle.manifest),
        sealed.quality(bundle.manifest), sealed.size(bundle.manifest, None), sealed.silent(bundle),
    ):  # fmt: skip
        assert found.state is State.DONE, found


def test_one_byte_that_differs_and_one_file_too_many_are_found(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (folder / "notes.txt").write_text("by hand")
    fails(sealed.hashes(Bundle(folder)), "which no manifest vouches for")
    (folder / "notes.txt").unlink()
    (folder / "golden.json").write_bytes((folder / "golden.json").read_bytes()[:-1])
    fails(sealed.hashes(Bundle(folder)), "golden.json is damaged")


def test_a_model_that_says_something_else_is_found(tiny_bundle: Path, tmp_path: Path) -> None:
    data = (tiny_bundle / "golden.json").read_text()
    tokens = Bundle(tiny_bundle).golden().cases[0].tokens
    first = f'"tokens": [\n        {tokens[0]},'
    assert first in data
    wrong = data.replace(first, f'"tokens": [\n        {(tokens[0] + 1) % 320},', 1)
    folder = with_file(tiny_bundle, tmp_path / "bundle", "golden.json", wrong.encode())
    fails(sealed.golden(Bundle(folder)), "golden")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"max_abs_logit_difference": 0.5}, "logits differ by 0.5"),
        ({"max_abs_cache_difference": 0.5}, "logits differ by 0.5"),
        ({"tolerance": 3.0}, "that shows nothing"),
        ({"greedy_tokens": 5}, "5 greedy tokens compared"),
        ({"longest_context": 7}, "compared up to 7 of 48 tokens"),
        ({"onnx_bits_per_byte": 3.5, "torch_bits_per_byte": 3.0}, "bits per byte differ by 0.5"),
    ],
)
def test_a_parity_record_that_shows_no_parity_is_found(
    manifest: Manifest, values: dict[str, Any], why: str
) -> None:
    fails(sealed.parity(changed(manifest, "parity", **values)), why)


def test_a_parity_record_of_an_older_export_cannot_tell(manifest: Manifest) -> None:
    found = sealed.parity(changed(manifest, "parity", bits_tolerance=0.0))
    assert found.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("part", "values", "why"),
    [
        ("quality", {"bytes": 10}, "measured on 10 bytes"),
        ("quality", {"bits_per_byte": 9.0}, "9.000 bits per byte"),
        ("quality", {"bits_per_byte": 0.0}, "0.000 bits per byte"),
        ("provenance", {"val_sha256": "a" * 64, "train_sha256": "a" * 64}, "was trained on"),
    ],
)
def test_a_quality_that_means_nothing_is_found(
    manifest: Manifest, part: str, values: dict[str, Any], why: str
) -> None:
    fails(sealed.quality(changed(manifest, part, **values)), why)


def with_int8(manifest: Manifest, size: int, bits: float) -> Manifest:
    facts = FileFacts(sha256="b" * 64, size=size)
    variant = Variant(shipped=True, reason="", size=size, bits_per_byte=bits)
    return msgspec.structs.replace(
        manifest, files={**manifest.files, "model.int8.onnx": facts}, variants={"int8": variant}
    )


def test_a_variant_that_lost_too_much_is_found(manifest: Manifest) -> None:
    bits = manifest.quality.bits_per_byte
    fails(sealed.quality(with_int8(manifest, 9, bits * 1.02)), "more than 1% over")
    assert sealed.quality(with_int8(manifest, 9, bits * 1.005)).state is State.DONE


def test_a_model_over_the_budget_is_found_and_one_that_only_some_load_cannot_be_told(
    manifest: Manifest, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text('schema = 1\n[budget.model_size]\nat_most = 5\nunit = "kB"\n')
    fails(sealed.size(manifest, strict), "at most 5 kB")
    larger = with_int8(manifest, 11_000_000, 1.0)
    assert sealed.size(larger, None).state is State.UNKNOWN
    default = msgspec.structs.replace(larger, precision="int8")
    fails(sealed.size(default, None), "int8 11 MB; at most 10 MB")
    strict.write_text('schema = 1\n[budget.rss]\nat_most = 5\nunit = "MB"\n')
    assert sealed.size(manifest, strict).state is State.UNKNOWN


@pytest.mark.parametrize(
    "telling",
    [
        "/home/jane/books/novel.txt", "/tmp/x/en.txt", "C:\\Users\\jane\\novel.txt", "~/novel.txt",
        "https://jane:secret@example.org/novel.txt", "/novel.txt", "file:///home/jane/n.txt",
    ],
)  # fmt: skip
def test_a_folder_or_a_password_in_the_manifest_is_found(
    tiny_bundle: Path, tmp_path: Path, telling: str
) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    bundle = Bundle(folder)
    settings = {**bundle.manifest.provenance.settings, "corpus": {"path": telling}}
    bundle.manifest = changed(bundle.manifest, "provenance", settings=settings)
    fails(sealed.silent(bundle), "provenance: settings: corpus: path says")


@pytest.mark.parametrize("fine", ["novel.txt", "https://example.org/novel.txt", "a/b", "1/2"])
def test_what_names_no_place_of_a_machine_is_fine(
    tiny_bundle: Path, tmp_path: Path, fine: str
) -> None:
    bundle = Bundle(tiny_bundle)
    settings = {**bundle.manifest.provenance.settings, "corpus": {"path": fine}}
    bundle.manifest = changed(bundle.manifest, "provenance", settings=settings)
    assert sealed.silent(bundle).state is State.DONE


def test_the_user_the_host_and_a_path_in_a_graph_are_found(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "janes-laptop")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    for word in ("janes-laptop", "jane"):
        bundle = Bundle(tiny_bundle)
        machine = {**bundle.manifest.training.machine, "by": f"built by {word}"}
        bundle.manifest = changed(bundle.manifest, "training", machine=machine)
        fails(sealed.silent(bundle), f"says {word!r}")
    graph = (tiny_bundle / "model.onnx").read_bytes() + b"/home/jane/export.py"
    folder = with_file(tiny_bundle, tmp_path / "bundle", "model.onnx", graph)
    fails(sealed.silent(Bundle(folder)), "model.onnx says '/home/jane/export.py'")
