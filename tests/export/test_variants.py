"""Quantised variants: shipped when they earn their place, refused with the reason when not."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.export.test_quantize import restore_into
from tinytx import bundle
from tinytx.bundle import MANIFEST, Bundle, FileFacts
from tinytx.cli.main import run
from tinytx.errors import BundleError, ExportError, ParityError, UsageError
from tinytx.export import exporter, quantize, variants
from tinytx.export.exporter import export
from tinytx.export.graph import GraphBuilder
from tinytx.export.quantize import RECIPES
from tinytx.runtime import processor
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import verify
from tinytx.runtime.processor import default_precision
from tinytx.train.checkpoint import load_model
from tinytx.train.data import open_tokens
from tinytx.train.evaluate import evaluate
from tinytx.workspace import Workspace

ALL = ["float32", "int8", "int4"]


@pytest.fixture(scope="module")
def run_with_variants(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run exported with ``auto``: copy it before changing it."""
    output = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("variants") / "out"))
    assert run(["export", "--output-dir", str(output), "--quiet"]) == 0
    return output


@pytest.fixture(scope="module")
def shipped(run_with_variants: Path) -> Bundle:
    return Bundle(run_with_variants / "bundle")


@pytest.fixture
def copy(shipped: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped.folder, tmp_path / "bundle"))


def test_auto_ships_float32_and_every_variant_that_earns_its_place(shipped: Bundle) -> None:
    manifest = shipped.manifest
    assert manifest.precisions == ALL
    assert manifest.precision == "int8"
    sizes = [manifest.files[bundle.GRAPHS[p]].size for p in manifest.precisions]
    assert sizes[1] < 0.8 * sizes[0]
    assert sizes[2] < 0.8 * sizes[1]
    for name, variant in manifest.variants.items():
        assert variant.shipped
        assert variant.reason == ""
        assert variant.size == manifest.files[bundle.GRAPHS[name]].size
        assert variant.bits_per_byte < 1.01 * manifest.quality.bits_per_byte
        assert manifest.bits_per_byte(name) == variant.bits_per_byte
    assert manifest.bits_per_byte("float32") == manifest.quality.bits_per_byte


def test_the_bits_per_byte_of_a_variant_are_near_those_of_pytorch_with_restored_weights(
    run_with_variants: Path, shipped: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is the rounding of activations, which PyTorch does not do here."""
    space = Workspace(run_with_variants)
    for name, variant in shipped.manifest.variants.items():
        model, _, _ = load_model(space.best_model)
        restore_into(model, RECIPES[name])
        score = evaluate(model, open_tokens(space.val_tokens), space.val_text.stat().st_size, 32)
        assert variant.bits_per_byte == pytest.approx(score.bits_per_byte, rel=2e-3)
        assert variant.bits_per_byte != shipped.manifest.quality.bits_per_byte


@pytest.mark.parametrize("precision", [None, *ALL])
def test_each_model_loads_by_its_name_and_the_default_without_one(
    shipped: Bundle, precision: bundle.Precision | None
) -> None:
    chosen = Engine.load(shipped.folder, precision=precision).append([1, 9, 7])
    graph = shipped.read_file(bundle.GRAPHS[precision or default_precision(shipped.manifest)])
    engine = Engine(shipped.manifest.model, graph, Engine.load(shipped.folder).tokenizer)
    np.testing.assert_array_equal(chosen, engine.append([1, 9, 7]))


def test_the_three_models_compute_nearly_and_not_quite_the_same(shipped: Bundle) -> None:
    rows = [Engine.load(shipped.folder, precision=p).append([1, 9, 7, 30]) for p in ALL]
    apart = [np.sqrt(np.mean((row - rows[0]) ** 2)) for row in rows]
    assert 0 < apart[1] < apart[2] < 0.5 * np.std(rows[0])


def test_every_model_reproduces_its_own_golden_tokens(shipped: Bundle) -> None:
    tokens = verify(shipped.folder).tokens
    assert list(tokens) == ALL
    assert min(tokens.values()) > 50
    assert verify(shipped.folder, precision="int8").tokens == {"int8": tokens["int8"]}


def test_a_bundle_made_again_is_the_same_to_the_bit(
    run_with_variants: Path, shipped: Bundle, tmp_path: Path
) -> None:
    again = Workspace(Path(shutil.copytree(run_with_variants, tmp_path / "out")))
    assert export(again).skipped
    again.stamp("export").remove()
    assert not export(again).skipped
    assert Bundle(again.bundle).id == shipped.id


# ---- what does not earn its place


@pytest.fixture
def space(run_with_variants: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(run_with_variants, tmp_path / "space")))


def test_a_variant_that_loses_too_much_is_not_shipped_and_the_manifest_says_why(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(quantize.RECIPES, "int4", quantize.Recipe(4, 4, 4))
    monkeypatch.setattr(variants, "MOST_LOSS", 1e-3)
    space.stamp("export").remove()
    assert run(["export", "--output-dir", str(space.root)]) == 0
    manifest = Bundle(space.bundle).manifest
    assert manifest.precisions == ["float32", "int8"]
    assert manifest.precision == "int8"
    reason = manifest.variants["int4"].reason
    assert "over float32's; at most 0% is allowed" in reason
    assert f"int4: not shipped: {reason}" in capsys.readouterr().err
    assert not (space.bundle / "model.int4.onnx").exists()
    assert list(verify(space.bundle).tokens) == ["float32", "int8"]
    with pytest.raises(UsageError, match="this bundle holds no int4 model: bits per byte"):
        Engine.load(space.bundle, precision="int4")
    before = Bundle(space.bundle).id
    assert run(["export", "--output-dir", str(space.root), "--precision", "int4"]) == 6
    err = capsys.readouterr().err
    assert "int4 does not earn its place: bits per byte" in err
    assert len(err.splitlines()) == 1
    assert Bundle(space.bundle).id == before


def test_nothing_but_float32_ships_where_nothing_is_smaller_by_enough(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "LEAST_GAIN", 0.95)
    space.stamp("export").remove()
    manifest = export(space).manifest
    assert manifest.precisions == ["float32"]
    assert manifest.precision == "float32"
    assert all("smaller than the next" in v.reason for v in manifest.variants.values())


@pytest.mark.parametrize(
    ("bits", "size", "words"),
    [
        (1.0099, 79, ""),
        (1.0101, 10, "1.01% over float32's"),
        (math.nan, 10, "nan% over float32's"),
        (0.9, 81, "only 19.0% smaller"),
        (0.9, 120, "only -20.0% smaller"),
    ],
)
def test_a_variant_is_judged_by_its_loss_and_its_gain(bits: float, size: int, words: str) -> None:
    reason = variants.judge(bits, 1.0, size, 100)
    assert words in reason
    assert bool(reason) == bool(words)


def one_code(codes: Any) -> Any:
    codes.reshape(-1)[7] ^= 1
    return codes


@pytest.mark.parametrize(
    ("name", "by", "words"),
    [
        ("blocks.1.mlp.down.codes", one_code, "holds other blocks.1.mlp.down.codes than were"),
        ("tables.codes", lambda a: np.roll(a, 1, axis=0), "holds other tables.codes than"),
        ("last", np.zeros_like, "a quantised graph costs"),
    ],
    ids=["one code", "the table", "another position"],
)
def test_a_graph_that_is_not_the_one_that_was_scored_is_refused(
    space: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    by: Callable[[Any], Any],
    words: str,
) -> None:
    """What ships is changed; what was scored is whole."""
    head = quantize.QuantisedBuilder.head

    def planted(self: quantize.QuantisedBuilder, x: str, table: quantize.Float) -> str:
        if not self.every_position:
            self.tensors[:] = [
                numpy_helper.from_array(by(numpy_helper.to_array(t).copy()), t.name)
                if t.name == name
                else t
                for t in self.tensors
            ]
        return head(self, x, table)

    monkeypatch.setattr(quantize.QuantisedBuilder, "head", planted)
    space.stamp("export").remove()
    before = Bundle(space.bundle).id
    with pytest.raises(ParityError, match=words):
        export(space)
    assert Bundle(space.bundle).id == before


@pytest.mark.parametrize("choice", ["float32", "int8", "int4"])
def test_one_precision_asked_for_is_the_default_beside_float32(
    space: Workspace, choice: exporter.Choice
) -> None:
    result = export(space, choice)
    assert not result.skipped
    assert result.manifest.precision == choice
    assert result.manifest.precisions == list(dict.fromkeys(["float32", choice]))
    assert export(space, choice).skipped


# ---- planted errors in a bundle with a valid manifest


def seal(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=bundle.Manifest)
    facts = FileFacts(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    unsealed = msgspec.structs.replace(manifest, files={**manifest.files, name: facts})
    sealed = msgspec.structs.replace(unsealed, id=bundle.identify(unsealed))
    (folder / MANIFEST).write_bytes(bundle.encode(sealed))


def change(graph: bytes, name: str, by: Callable[[Any], Any]) -> bytes:
    model = onnx.load_model_from_string(graph)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(by(np.array(numpy_helper.to_array(tensor))), name))
    return model.SerializeToString()


PLANTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the codes of one product": ("blocks.1.mlp.down.codes", lambda a: a[::-1].copy()),
    "the scales of one product": ("blocks.0.attention.qkv.scales", lambda a: a * 1.5),
    "the table": ("head.codes", lambda a: np.roll(a, 1, axis=0)),
    "a norm": ("norm.weight", lambda a: a * 1.5),
    "rotary tables": ("cos", lambda a: a * 0.0),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_variant_that_was_changed_after_export_is_found_with_a_valid_manifest(
    copy: Path, precision: bundle.Precision, planted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bundle.GRAPHS[precision]
    seal(copy, name, change((copy / name).read_bytes(), *PLANTED[planted]))
    Bundle(copy).check_files()
    assert run(["verify", str(copy), "--precision", precision]) == 9
    assert f"({precision})" in capsys.readouterr().err.splitlines()[0]
    assert verify(copy, precision="float32").tokens["float32"] > 200


def test_another_variants_graph_under_its_name_is_found(copy: Path) -> None:
    seal(copy, "model.int8.onnx", (copy / "model.int4.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"does not reproduce .*\(int8\)"):
        verify(copy, precision="int8")


def test_a_shipped_variant_without_golden_outputs_proves_nothing(copy: Path) -> None:
    golden = msgspec.structs.replace(Bundle(copy).golden(), variants={})
    seal(copy, "golden.json", bundle.encode(golden))
    with pytest.raises(BundleError, match="holds no golden outputs of int8"):
        verify(copy)


# ---- another processor: what its kernels may change, and which model is judged

SHIFT = 0.12
"""What kernels of other processors shifted all logits of a sound int8 model by."""


def move_fingerprints(folder: Path, precision: bundle.Precision, by: NDArray[np.float64]) -> None:
    """The golden outputs of a machine whose kernels gave these other means of logits."""
    golden = Bundle(folder).golden()
    cases = golden.cases if precision == "float32" else golden.variants[precision]
    moved = [
        msgspec.structs.replace(case, logits=[round(x, 5) for x in (case.logits + by).tolist()])
        for case in cases
    ]
    if precision == "float32":
        golden = msgspec.structs.replace(golden, cases=moved)
    else:
        others = {**golden.variants, precision: moved}
        golden = msgspec.structs.replace(golden, variants=others)
    seal(folder, "golden.json", bundle.encode(golden))


@pytest.mark.parametrize("precision", ALL)
@pytest.mark.parametrize("shift", [SHIFT, -SHIFT, 5.0])
def test_a_shift_common_to_all_logits_is_no_difference_for_softmax_does_not_see_it(
    copy: Path, precision: bundle.Precision, shift: float
) -> None:
    move_fingerprints(copy, precision, np.full(32, shift))
    assert verify(copy, precision=precision).tokens[precision] > 50


@pytest.mark.parametrize("precision", ALL)
def test_a_change_of_the_same_size_that_is_not_common_to_all_logits_is_refused(
    copy: Path, precision: bundle.Precision
) -> None:
    move_fingerprints(copy, precision, SHIFT * np.resize([1.0, -1.0], 32))
    with pytest.raises(BundleError, match=r"the logits of the last step are off by 0\.1"):
        verify(copy, precision=precision)


@pytest.mark.parametrize("precision", ALL)
def test_one_of_the_32_means_that_moved_alone_is_refused(
    copy: Path, precision: bundle.Precision
) -> None:
    move_fingerprints(copy, precision, SHIFT * np.eye(32)[5])
    with pytest.raises(BundleError, match=r"the logits of the last step are off by 0\.1"):
        verify(copy, precision=precision)


@pytest.fixture(params=[True, False], ids=["with int8 products", "without"])
def loads_int8(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A processor whose default is int8, and one that loads float32 instead."""
    monkeypatch.setattr(processor, "has_int8_products", lambda *_: request.param)
    return bool(request.param)


@pytest.mark.parametrize("changed", ALL)
def test_verify_fails_where_what_this_machine_would_load_differs_and_notes_it_elsewhere(
    copy: Path, changed: bundle.Precision, loads_int8: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    move_fingerprints(copy, changed, SHIFT * np.eye(32)[5])
    loaded = "int8" if loads_int8 else "float32"
    code = run(["verify", str(copy), "--json", "--quiet"])
    out, err = capsys.readouterr()
    others = [precision for precision in ALL if precision != changed]
    if changed == loaded:
        assert (code, out) == (9, "")
        assert f"({changed})" in err.splitlines()[0]
        assert f"what its {' and '.join(others)} should say is reproduced" in err
        return
    told = json.loads(out)
    assert code == 0
    assert told["judged"] == loaded
    assert list(told["precisions"]) == others
    assert told["golden_tokens"] == sum(told["precisions"].values())
    assert list(told["differing"]) == [changed]
    assert "the logits of the last step are off by 0.1" in told["differing"][changed]
    assert f"note: {changed}, which this machine would not load by itself, differs here" in err
    assert f"use {loaded}, as it does" in err
    assert run(["verify", str(copy), "--precision", changed]) == 9
    assert run(["verify", str(copy), "--precision", loaded]) == 0
    assert "note" not in capsys.readouterr().err


def test_another_model_that_cannot_be_run_is_a_note_and_the_one_that_is_loaded_is_judged(
    copy: Path, loads_int8: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    seal(copy, "model.int4.onnx", b"no graph")
    assert run(["verify", str(copy)]) == 0
    err = capsys.readouterr().err
    assert "note: int4, which this machine would not load by itself, differs here: " in err
    assert "model.int4.onnx" in err
    assert run(["verify", str(copy), "--precision", "int4"]) == 9


@pytest.mark.parametrize("changed", ALL)
def test_export_refuses_a_bundle_of_which_any_model_differs(
    space: Workspace,
    changed: bundle.Precision,
    loads_int8: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def planted(folder: Path) -> Any:
        move_fingerprints(folder, changed, SHIFT * np.eye(32)[5])
        return verify(folder)

    monkeypatch.setattr(exporter, "verify", planted)
    space.stamp("export").remove()
    before = Bundle(space.bundle).id
    with pytest.raises(ExportError, match=rf"the new bundle does not verify: .*\({changed}\)"):
        export(space)
    assert Bundle(space.bundle).id == before


# ---- the command line


def test_on_the_command_line_each_model_is_told_and_can_be_chosen(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(copy), "--json", "--precision", "int8"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["precisions"]) == ["int8"]
    texts = []
    for precision in ALL:
        arguments = ["generate", str(copy), "The", "--temperature", "0", "--max-tokens", "40"]
        assert run([*arguments, "--quiet", "--precision", precision]) == 0
        texts.append(capsys.readouterr().out)
    assert run([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == texts[ALL.index(default_precision(Bundle(copy).manifest))]


@pytest.mark.parametrize("command", ["verify", "generate"])
def test_a_precision_that_is_not_there_ends_with_64_and_says_what_is(
    tiny_bundle: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = ["The"] if command == "generate" else []
    assert run([command, str(tiny_bundle), *prompt, "--precision", "int8"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert "this bundle holds no int8 model" in err
    assert "-> it holds float32" in err
    assert run([command, str(tiny_bundle), *prompt, "--precision", "int3"]) == 64
    assert "'int3' is not one of" in capsys.readouterr().err


def test_a_variant_that_onnxruntime_cannot_load_is_refused(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = GraphBuilder.node

    def planted(self: GraphBuilder, op: str, *rest: Any, **attributes: Any) -> str:
        return node(self, "MatMulNone" if op == "MatMulNBits" else op, *rest, **attributes)

    monkeypatch.setattr(quantize.QuantisedBuilder, "node", planted)
    with pytest.raises(ExportError, match="onnxruntime cannot load a quantised graph"):
        export(space, "int8")
