"""How kernels are built, and where they are kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tinytx.train import compiling

NAME = "from tinytx.train.compiling import kernel_folder; print(kernel_folder())"


@pytest.mark.parametrize(
    ("said", "threads"), [(None, 1), ("2", 2), ("many", 1), ("", 1), ("-3", 1)], ids=str
)
def test_one_compiler_at_a_time_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: str | None, threads: int
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_COMPILE_THREADS", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    if said is not None:
        monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", said)
    assert compiling.compile_options() == {"fallback_random": True, "compile_threads": threads}


def test_without_openssl_headers_are_not_compiled_beforehand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if compiling.HEADERS not in torch._inductor.list_options():
        pytest.skip("this PyTorch never compiles headers beforehand")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiling.compile_options()[compiling.HEADERS] is False


def test_each_vector_width_has_a_folder_of_its_own() -> None:
    """Whatever this machine has, PyTorch can be held to less."""
    here = compiling.kernel_folder()
    assert str(torch.__version__).partition("+")[0] in here
    less = "avx2" if "AVX512" in torch.backends.cpu.get_cpu_capability() else "default"
    found = subprocess.run(
        [sys.executable, "-c", NAME],
        env={**os.environ, "ATEN_CPU_CAPABILITY": less},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    same = torch.backends.cpu.get_cpu_capability().lower() == less
    assert less in found
    assert (found == here) is same


def test_processors_of_one_vector_width_but_other_instructions_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = set()
    for flags in ("flags\t: avx512f avx512_bf16", "flags\t: avx512f", "Features\t: asimd"):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
        features = compiling.processor_features(tmp_path / "cpuinfo")
        assert features == " ".join(sorted(flags.partition(": ")[2].split()))
        monkeypatch.setattr(compiling, "processor_features", lambda found=features: found)
        folders.add(compiling.kernel_folder())
        monkeypatch.undo()
    assert len(folders) == 3
    assert compiling.processor_features(tmp_path / "nothing") == ""


def test_the_users_folder_is_used_and_each_kind_of_processor_has_its_own_below_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(compiling.CACHE, str(tmp_path))
    compiling.keep_kernels_apart()
    below = tmp_path / compiling.kernel_folder()
    assert os.environ[compiling.CACHE] == str(below)
    compiling.keep_kernels_apart()  # a second run, or a child
    assert os.environ[compiling.CACHE] == str(below)


def test_without_a_word_of_the_user_it_is_below_pytorchs_own_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(compiling.CACHE, "")
    compiling.keep_kernels_apart()
    below = Path(os.environ[compiling.CACHE])
    assert below.name == compiling.kernel_folder()
    assert below.parent.name.startswith("torchinductor_")


def test_gradients_are_built_before_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """By PyTorch's own word: its compiler of backward passes is called in the forward pass."""
    import torch._functorch.config as functorch
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    built: list[str] = []

    def builder(name: str) -> Any:
        def build(graph: Any, _: Any) -> Any:
            built.append(name)
            return make_boxed_func(graph.forward)

        return build

    monkeypatch.setattr(functorch, compiling.BACKWARD_AT_ONCE, False)
    compiling.build_gradients_beforehand()
    backend = aot_autograd(fw_compiler=builder("forwards"), bw_compiler=builder("backwards"))
    torch._dynamo.reset()
    x = torch.ones(3, requires_grad=True)
    result = torch.compile(lambda y: (y * y).sin(), backend=backend)(x)
    assert sorted(built) == ["backwards", "forwards"]
    result.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 2.0 * torch.ones(3).cos())
    assert len(built) == 2


def test_a_pytorch_without_that_setting_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKWARD_AT_ONCE", "no_such_setting")
    compiling.build_gradients_beforehand()
    import torch._functorch.config as functorch

    assert not hasattr(functorch, "no_such_setting")
