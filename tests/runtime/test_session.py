"""Releases of onnxruntime: too old, without the private names that we use, and what they say."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tinytx.cli.main import run
from tinytx.errors import LibraryError
from tinytx.runtime.engine import Engine
from tinytx.runtime.golden import verify
from tinytx.runtime.session import OLDEST, check_release, reason

ROOT = Path(__file__).parents[2]
PRIVATE = ["_sess", "_iobinding", "_model_bytes"]
CALLED = (
    "onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, "
    "const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) "
)
VALIDATED = (
    "void onnxruntime::model_load_utils::ValidateOpsetForDomain(const std::unordered_map<"
    "std::__cxx11::basic_string<char>, int>&, std::function<void(int)>, int) const "
)


def without(gone: set[str], kind: type) -> Callable[..., Any]:
    """A class of onnxruntime's wrapper in a release that has not the names in ``gone``."""

    class Without:
        def __init__(self, *arguments: Any, **more: Any) -> None:
            self.inside = kind(*arguments, **more)

        def __getattr__(self, name: str) -> Any:
            if name in gone:
                raise AttributeError(name)
            return getattr(self.inside, name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name in gone:
                raise AttributeError(name)
            super().__setattr__(name, value)

        def io_binding(self) -> Any:
            return without(gone, lambda: self.inside.io_binding())()  # type: ignore[arg-type]

        def run_with_iobinding(self, binding: Any, options: Any = None) -> Any:
            return self.inside.run_with_iobinding(binding.inside, options)

    return Without


def logits(bundle: Path) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Of a long prompt, and of three tokens after it."""
    engine = Engine.load(bundle)
    return np.stack([engine.append(ids) for ids in ([5, 6, 7, 8] * 5, [9], [10], [11])])


@pytest.mark.parametrize("gone", [*({name} for name in PRIVATE), {*PRIVATE}], ids=[*PRIVATE, "all"])
def test_the_engine_works_without_the_private_names(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, gone: set[str]
) -> None:
    expected = logits(tiny_bundle)
    monkeypatch.setattr(ort, "InferenceSession", without(gone, ort.InferenceSession))
    np.testing.assert_array_equal(logits(tiny_bundle), expected)
    assert verify(tiny_bundle).tokens["float32"] > 0


@pytest.mark.parametrize("version", ["1.22.1", "1.9.0", "0.99", "1.22.0.dev20250101"])
def test_a_release_that_is_too_old_is_refused_with_both_versions(
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
) -> None:
    monkeypatch.setattr(ort, "__version__", version)
    for command in (["verify"], ["generate", "The"]):
        assert run([command[0], str(tiny_bundle), *command[1:]]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert f"onnxruntime {version} is installed, and 1.23.0 or newer is needed" in err
        assert "onnxruntime>=1.23.0" in err


@pytest.mark.parametrize(
    "version", ["1.23.0", "1.32.0", "1.100.1", "2.0", "1.24.0+mine", "nightly"]
)
def test_a_release_that_may_do_is_tried(version: str) -> None:
    check_release(version)


def test_the_oldest_release_is_the_one_that_the_package_asks_for() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "onnxruntime>=" + ".".join(map(str, OLDEST)) in needed
    with pytest.raises(LibraryError):
        check_release(f"{OLDEST[0]}.{OLDEST[1] - 1}.9")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            f"[ONNXRuntimeError] : 1 : FAIL : /source/core/graph/model.cc:181 {CALLED}"
            "Unsupported model IR version: 11, max supported IR version: 10\n",
            "Unsupported model IR version: 11, max supported IR version: 10",
        ),
        (
            f"[ONNXRuntimeError] : 1 : FAIL : Load model from a.onnx failed:/s/m.h:46 {CALLED}"
            "Unsupported model IR version: 11",
            "Load model from a.onnx failed:Unsupported model IR version: 11",
        ),
        (f"[ONNXRuntimeError] : 1 : FAIL : /s/m.h:46 {VALIDATED}Opset 99", "Opset 99"),
        (
            "[ONNXRuntimeError] : 1 : FAIL : utils.cc:1730 Check Initializer 'cos': (2 bytes) left",
            "Check Initializer 'cos': (2 bytes) left",
        ),
        ("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : it is none", "it is none"),
        ("plain", "plain"),
        ("a\x1b[31mb\nsecond line", "a?[31mb"),
        ("", "RuntimeError"),
        ("x" * 5_000, "x" * 200),
        ("/a.cc:1 f" + "(" * 50_000, "f" + "(" * 199),
    ],
)
def test_the_reason_is_told_without_the_place_in_a_foreign_source(said: str, told: str) -> None:
    assert reason(RuntimeError(said)) == told
