"""tinytx: text in, a small language model on a small computer out, with proof that it fits.

The Python API is these names (docs/python-api.md); they are loaded when they are first asked for,
so that ``import tinytx`` costs nothing.
"""

import os

# onnxruntime from 1.29 on sends usage data unless it finds this when it is imported. This line runs
# before every module of tinytx, and children inherit it. A value of the user's own stays ("0").
if not os.environ.get("ORT_DISABLE_TELEMETRY"):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
__all__ = ["Engine", "Outcome", "Score", "TinytxError", "__version__"]

_HOMES = {
    "Engine": "tinytx.runtime.engine",
    "Outcome": "tinytx.runtime.generate",
    "Score": "tinytx.runtime.scoring",
    "TinytxError": "tinytx.errors",
}

TYPE_CHECKING = False  # type checkers take it for typing.TYPE_CHECKING, which costs an import
if TYPE_CHECKING:
    from tinytx.errors import TinytxError
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import Outcome
    from tinytx.runtime.scoring import Score


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinytx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
