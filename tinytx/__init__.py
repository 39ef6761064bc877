"""tinytx: text in, a small language model on a small computer out, with proof that it fits.

The Python interface is a few names, loaded when they are first used: :class:`Engine` runs a
bundle, :class:`Sampling` says how tokens are chosen, :class:`Outcome` tells how a generation
went, :class:`Score` how well a text was predicted. Everything that fails on purpose is a
:class:`TinytxError`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytx.errors import TinytxError
    from tinytx.runtime.engine import Engine
    from tinytx.runtime.generate import Outcome
    from tinytx.runtime.sampling import Sampling
    from tinytx.runtime.scoring import Score

__version__ = "0.1.0"
__all__ = ["Engine", "Outcome", "Sampling", "Score", "TinytxError", "__version__"]

_HOMES = {
    "Engine": "tinytx.runtime.engine",
    "Outcome": "tinytx.runtime.generate",
    "Sampling": "tinytx.runtime.sampling",
    "Score": "tinytx.runtime.scoring",
    "TinytxError": "tinytx.errors",
}


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is asked for: ``import tinytx`` loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinytx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
