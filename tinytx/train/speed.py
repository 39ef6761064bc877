"""How to train fast on this machine: arithmetic, compiler, allocator.

Measured on 2 cores with AVX-512 (see docs/log/training.md): bfloat16 products 2.5 x float32,
torch.compile 1.3 x eager, and keeping freed memory instead of giving it back to the kernel
1.25 x on top of that.
"""

import ctypes
import gc
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tinytx import compiler
from tinytx.cgroup import quota_name, usable_cores
from tinytx.config import Settings, as_dict
from tinytx.errors import PrerequisiteError
from tinytx.train.launch import Launch, read_launch
from tinytx.train.others import MUCH, Others
from tinytx.train.remembered import recall, remembered

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>
LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more on 64-bit machines
CPU = torch.device("cpu")
FORMS = ("compiled", "eager")
INSTRUCTIONS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # the first that is set holds oneDNN
COMPILE_PAYS_FROM = 5e12  # floating-point operations of a run: tens of seconds of training


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed blocks instead of returning them to the kernel.

    A training step frees and asks again for the same tens of megabytes; by default each round
    costs page faults. Does nothing where the C library has no ``mallopt``.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)


def give_back_freed_memory() -> None:
    """Return to the kernel what :func:`keep_freed_memory` has kept: between two phases of which
    the second needs none of it."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def set_up_torch(settings: Settings, earlier: Mapping[str, Any] | None = None) -> int:
    """Threads, denormals and allocator for this process; returns the number of threads.

    ``earlier`` is the machine of the run that goes on here: with as many threads as then, sums are
    formed in the same order.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    threads = settings.training.threads or _threads_of(earlier or {}) or choose_threads(settings)
    torch.set_num_threads(threads)
    return threads


def _threads_of(earlier: Mapping[str, Any]) -> int:
    """How many threads an earlier run had, if it had these cores and as many processes; else 0."""
    same = (
        earlier.get("cores") == usable_cores() and earlier.get("processes") == read_launch().world
    )
    threads = earlier.get("threads")
    return threads if same and isinstance(threads, int) and 0 < threads <= usable_cores() else 0


def choose_threads(settings: Settings) -> int:
    """This process's share of the cores, or half of it where that is faster: two hardware threads
    of one core only hold up the rest. Measured once per machine, shape and version of PyTorch;
    beside a busy program, which may end at any time, it is the whole share.
    """
    most = max(1, usable_cores() // read_launch().local_world)
    if most == 1:
        return 1
    facts = _facts(settings, most)
    names = (str(most), str(most // 2))
    return int(remembered("threads", facts, names, lambda: _fewer_faster(facts, most)))


def _fewer_faster(facts: Mapping[str, Any], most: int) -> str:
    """``most``, or half as many; fewer must be worth it."""
    seconds, others = {}, Others()
    for threads in (most, most // 2):
        torch.set_num_threads(threads)
        shape = (facts["rows"], facts["width"], 3 * facts["width"])
        seconds[threads] = _product_seconds(*shape, torch.float32)
    fewer = seconds[most // 2] < 0.95 * seconds[most] and (others.look() or 0.0) <= MUCH
    return str(most // 2 if fewer else most)


def choose_device(setting: str, launch: Launch) -> torch.device:
    """The CPU, or this process's own GPU: ``auto`` takes one where each process can have one.

    Raises :class:`PrerequisiteError` when ``cuda`` is asked for and there are too few.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "cuda" and found < launch.local_world:
        raise PrerequisiteError(
            f"training.device is cuda, and PyTorch finds {found or 'no'} GPU here for "
            f"{launch.local_world} process{'es' if launch.local_world > 1 else ''}",
            "use --training-device cpu, or install PyTorch for CUDA and a GPU's driver",
        )
    if setting == "cpu" or found < launch.local_world:
        return CPU
    device = torch.device("cuda", launch.local_rank)
    torch.cuda.set_device(device)
    return device


def device_name(device: torch.device) -> str:
    """ "cpu", or what kind of GPU it is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def choose_precision(settings: Settings, device: torch.device = CPU) -> torch.dtype:
    """The faster arithmetic for this model's products here, unless the user has chosen.

    Measured once per machine, shape and version of PyTorch.
    """
    if settings.training.precision != "auto":
        return getattr(torch, settings.training.precision)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    facts = _facts(settings, torch.get_num_threads())
    names = ("float32", "bfloat16")
    found = remembered("precision", facts, names, lambda: _faster(facts["rows"], facts["width"]))
    return getattr(torch, found)  # type: ignore[no-any-return]


def _facts(settings: Settings, threads: int) -> dict[str, Any]:
    """What a measurement depends on: machine, PyTorch, and the shape of the products."""
    return {
        **measuring_facts(threads),
        "rows": min(settings.training.at_once * settings.model.max_seq_length, 4_096),
        "width": settings.model.width,
    }


def _faster(rows: int, width: int) -> str:
    """The arithmetic whose products are faster; bfloat16 must be worth it."""
    shape = (rows, width, 3 * width)
    float32, bfloat16 = (
        _product_seconds(*shape, torch.float32),
        _product_seconds(*shape, torch.bfloat16),
    )
    return "bfloat16" if bfloat16 < 0.8 * float32 else "float32"


def _product_seconds(rows: int, inner: int, columns: int, dtype: torch.dtype) -> float:
    """Best time of a [rows, inner] x [inner, columns] product, in seconds."""
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    best = float("inf")
    deadline = time.perf_counter() + 0.1
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return best


def should_compile(
    settings: Settings, total_tokens: int, precision: torch.dtype = torch.float32
) -> bool:
    """Whether torch.compile pays: the user's choice, or a long run, a compiler that works, and no
    measurement (:func:`faster_form`) that found it to be slower here.

    A short run never measures: to compile takes longer than it could save.
    """
    choice = settings.training.compile
    if choice != "auto":
        return choice == "on"
    if not _long(settings, total_tokens) or compiler.problem():
        return False
    return known_form(settings, precision) != "eager"


def lacks_compiler(settings: Settings, total_tokens: int) -> str:
    """Why a run that compiled steps would pay for cannot have them; nothing where it can."""
    wanted = settings.training.compile == "auto" and _long(settings, total_tokens)
    return compiler.problem() if wanted else ""


def _long(settings: Settings, total_tokens: int) -> bool:
    return 6.0 * settings.parameters * total_tokens > COMPILE_PAYS_FROM


def known_form(settings: Settings, precision: torch.dtype) -> str | None:
    """What :func:`faster_form` once found for this machine and model."""
    return recall("form", _form_facts(settings, precision), FORMS)


def faster_form(
    settings: Settings, precision: torch.dtype, eager: float, compiled: Callable[[], float]
) -> str:
    """ "compiled" or "eager", by the seconds of a pass; eager must be clearly faster. Asked once
    per machine, shape and version of PyTorch."""

    def measure() -> str:
        return "eager" if eager < 0.9 * compiled() else "compiled"

    return remembered("form", _form_facts(settings, precision), FORMS, measure)


def _form_facts(settings: Settings, precision: torch.dtype) -> dict[str, Any]:
    return {
        **_facts(settings, torch.get_num_threads()),
        "model": as_dict(settings)["model"],
        "vocabulary": settings.tokenizer.vocab_size,
        "windows": settings.training.at_once,
        "precision": str(precision),
    }


def measuring_facts(threads: int) -> dict[str, str | int]:
    """What any measurement of this machine's speed depends on, the instructions that PyTorch and
    oneDNN are held to by the environment among it."""
    held = [os.environ[name].upper() for name in INSTRUCTIONS if os.environ.get(name)]
    return {
        **machine_facts(threads),
        "quota": quota_name(),
        "torch": str(torch.__version__),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "held to": held[0] if held else "",
    }


def machine_facts(threads: int) -> dict[str, str | int]:
    """What the training times were measured on."""
    return {
        "processor": processor_name(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
    }


def processor_name() -> str:
    """The processor's name as the kernel tells it, else its architecture."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
