"""torch.compile: how kernels are built, and where they are kept."""

import hashlib
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tinytx.train.distributed import LossFunction
from tinytx.train.loss import softmax_loss
from tinytx.train.model import Transformer

CACHE = "TORCHINDUCTOR_CACHE_DIR"
HEADERS = "cpp_cache_precompile_headers"


def compiled_loss(model: Transformer) -> LossFunction:
    """The model's loss, its two parts compiled. Kernels are built at the first call of each."""
    keep_kernels_apart()
    options = compile_options()
    hidden = torch.compile(model.hidden, options=options)
    softmax = torch.compile(softmax_loss, options=options)
    return partial(model.loss, hidden=hidden, softmax=softmax)


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
