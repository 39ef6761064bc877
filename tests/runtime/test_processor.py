"""A quantised default is loaded where its products are quick, and float32 elsewhere."""

from pathlib import Path

import msgspec
import pytest

from tinytx.bundle import GRAPHS, Bundle
from tinytx.runtime.processor import default_precision, has_int8_products, loadable

ZEN = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx avx2 fma\n"
OLD_ATOM = (
    "processor\t: 0\nflags\t\t: fpu ssse3 sse4_2 avx avx2x\n\nprocessor\t: 1\nflags\t: avx2\n"
)
PI_5 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 atomics asimdrdm lrcpc asimddp\n"
PI_4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nModel\t: Raspberry Pi 4\n"


@pytest.mark.parametrize(
    ("told", "quick"),
    [(ZEN, True), (OLD_ATOM, False), (PI_5, True), (PI_4, False), ("", False), ("\xff:\n", False)],
    ids=["zen", "atom", "pi 5", "pi 4", "empty", "nonsense"],
)
def test_the_processor_decides_by_its_features(
    tiny_bundle: Path, tmp_path: Path, told: str, quick: bool
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(told)
    assert has_int8_products(path) is quick
    manifest = Bundle(tiny_bundle).manifest
    assert default_precision(manifest, path) == "float32"
    for precision in ("int8", "int4"):
        other = msgspec.structs.replace(manifest, precision=precision)
        assert default_precision(other, path) == (precision if quick else "float32")
    names = dict.fromkeys(GRAPHS.values(), manifest.files["model.onnx"])
    all_three = msgspec.structs.replace(manifest, precision="int8", files=names)
    assert loadable(all_three, path) == (list(GRAPHS) if quick else ["float32"])


def test_a_machine_that_does_not_tell_gets_float32(tmp_path: Path) -> None:
    assert not has_int8_products(tmp_path / "none")
    assert not has_int8_products(tmp_path)
