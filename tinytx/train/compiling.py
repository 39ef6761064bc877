"""torch.compile: how kernels are built, and where they are kept."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinytx.train import native
from tinytx.train.attention import Attention, written_out
from tinytx.train.attention import use as use_attention
from tinytx.train.distributed import LossFunction
from tinytx.train.loss import Softmax, softmax_loss
from tinytx.train.loss import use as use_softmax
from tinytx.train.model import Transformer

CACHE = "TORCHINDUCTOR_CACHE_DIR"
HEADERS = "cpp_cache_precompile_headers"
BACKWARD_AT_ONCE = "force_non_lazy_backward_lowering"


def compiled_loss(model: Transformer, tell: Callable[[str], None]) -> LossFunction:
    """The model's loss, compiled. Its kernels are built at the first call; our own, for attention
    and softmax, now, and where that fails the reason is told."""
    keep_kernels_apart()
    build_gradients_beforehand()
    options = compile_options()
    attention: Attention = written_out
    softmax: Softmax | None = None
    if model.cos.device.type == "cpu":
        try:
            kernels = native.load(Path(os.environ[CACHE]))
            attention, softmax = use_attention(kernels), use_softmax(kernels)
        except native.CannotBuild as error:
            tell(f"attention and loss by PyTorch's own operators, which take longer: {error}")

    def hidden(tokens: Tensor) -> Tensor:
        return model.hidden(tokens, attention)

    return partial(
        model.loss,
        hidden=torch.compile(hidden, options=options),
        softmax=softmax or torch.compile(softmax_loss, options=options),
    )


def build_gradients_beforehand() -> None:
    """Have the kernels of the backward pass built with those of the forward pass, not when the
    first backward pass begins: all that it needs of the forward pass would stand in memory beside
    the C++ compiler then (844 MB at the peak of 6 layers of 192 where it is 692 so). Where this
    PyTorch has no such setting, nothing changes."""
    import torch._functorch.config as functorch

    if hasattr(functorch, BACKWARD_AT_ONCE):
        setattr(functorch, BACKWARD_AT_ONCE, True)


def compile_options() -> dict[str, Any]:
    """How torch.compile builds the kernels.

    With PyTorch's own random numbers: drawn inside the kernels they would be drawn again for every
    value that one mask covers. One C++ compiler at a time, unless the environment says otherwise:
    two take 200 MB more at the peak, to save 8 s once per machine and model. Headers are compiled
    beforehand only where there is the program ``openssl``: PyTorch runs it to name the result.
    """
    at_once = os.environ.get("TORCHINDUCTOR_COMPILE_THREADS", "")
    options = {
        "fallback_random": True,
        "compile_threads": int(at_once) if at_once.isdecimal() else 1,
    }
    if not shutil.which("openssl") and HEADERS in torch._inductor.list_options():
        options[HEADERS] = False
    return options


def keep_kernels_apart() -> None:
    """Give the kernels of each kind of processor a folder of their own.

    PyTorch's key does not tell vector widths apart, and kernels are built for the very processor:
    those of another one end in wrong memory or an illegal instruction. A folder that the user has
    named (``TORCHINDUCTOR_CACHE_DIR``) is used, but below it each kind has its own, too.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    base, own = Path(os.environ.get(CACHE) or default_cache_dir()), kernel_folder()
    if base.name != own:
        os.environ[CACHE] = str(base / own)


def kernel_folder() -> str:
    """A name for this PyTorch on this kind of processor: "torch-2.13.0-avx512-1f0c9a7e"."""
    capability = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-")
    version = str(torch.__version__).partition("+")[0]
    digest = hashlib.sha256(processor_features().encode()).hexdigest()[:8]
    return f"torch-{version}-{capability}-{digest}"


def processor_features(file: Path = Path("/proc/cpuinfo")) -> str:
    """The instruction sets as the kernel lists them; nothing where it does not."""
    with suppress(OSError), file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("flags", "Features")):
                return " ".join(sorted(line.partition(":")[2].split()))
    return ""
