"""Can this processor multiply int8 quickly? Where not, a quantised model is slower than float32.

onnxruntime's MatMulNBits has int8 kernels for x86-64 from AVX2 on and for arm64 with the dot
product instructions (asimddp: a Raspberry Pi 5 has them, a Pi 4 and a Zero 2 W do not). Anywhere
else it restores whole 8-bit matrices to float32 at every step, which took six to ten times as
long as the float32 model where it was tried (docs/decisions/0014).
"""

from pathlib import Path

from tinytx.bundle import Bundle, Manifest, Precision

CPU_INFO = Path("/proc/cpuinfo")
NEEDED = {"flags": "avx2", "Features": "asimddp"}
MOST_BYTES = 1_000_000  # a line of each of many cores


def has_int8_products(cpu_info: Path = CPU_INFO) -> bool:
    """Whether the first core's line of features names what is needed; False when unknown."""
    try:
        with cpu_info.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_BYTES)
    except OSError:
        return False
    for line in text.splitlines():
        key, _, values = line.partition(":")
        if needed := NEEDED.get(key.strip()):
            return needed in values.split()
    return False


def default_precision(manifest: Manifest, cpu_info: Path = CPU_INFO) -> Precision:
    """What is loaded when nobody asks: the bundle's default, or float32 where that is faster."""
    if manifest.precision == "float32" or has_int8_products(cpu_info):
        return manifest.precision
    return "float32"


def loadable(manifest: Manifest, cpu_info: Path = CPU_INFO) -> list[Precision]:
    """What may be loaded when nobody asks, the most precise first: all that the bundle holds, of
    which a service takes the fastest for many texts; float32 alone where that is the fastest."""
    return manifest.precisions if has_int8_products(cpu_info) else ["float32"]


def settled(bundle: Bundle, precision: Precision | None) -> Bundle:
    """The bundle, whose manifest then names the precision that is loaded here.

    Raises :class:`UsageError` when it lacks ``precision``.
    """
    return bundle.preferring(precision or default_precision(bundle.manifest))
