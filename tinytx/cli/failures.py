"""Which failures are no bug of ours, though no line of ours raised them: a library that is broken
or missing, a full disk, too little memory."""

import errno
import sys
from collections.abc import Iterator
from types import ModuleType, TracebackType

from tinytx.errors import LibraryError, PrerequisiteError, TinytxError
from tinytx.wording import printable

OURS = ("tinytx", "__main__")


def understood(error: Exception) -> TinytxError | None:
    """The failure in our own words; None for what can only be a bug."""
    if isinstance(error, TinytxError):
        return error
    if isinstance(error, MemoryError):
        return TinytxError("there is not enough memory for this")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return PrerequisiteError("cannot write: no space left")
    return _broken_library(error)


def _broken_library(error: Exception) -> LibraryError | None:
    """The library that failed while it was imported, in whatever way; or was not there."""
    if emptied := _emptied(error):
        return LibraryError(f"the library {emptied} is broken: only its folder is there")
    importing = _importing(error.__traceback__)
    named = _top(error.name or "") if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and named == error.name and not importing:
        return None if named in OURS else LibraryError(f"the library {named} is not installed")
    library = importing or named
    if not library or library in OURS:
        return None
    return LibraryError(f"the library {library} cannot be loaded: {_reason(error)}")


def _emptied(error: Exception) -> str:
    """The library that is a folder without a module, as a second package of the same name leaves
    it when it is uninstalled: it can be imported, and has nothing in it."""
    module = error.obj if isinstance(error, AttributeError) else None
    empty = isinstance(module, ModuleType) and getattr(module.__spec__, "origin", "") is None
    return _top(module.__name__) if isinstance(module, ModuleType) and empty else ""


def _importing(trace: TracebackType | None) -> str:
    """The library at whose import the error came, the innermost one; empty for none.

    A module's own code runs in a frame of the name ``<module>``. Those before the first of ours
    belong to the program that started us.
    """
    names = list(_modules(trace))
    first = next((place for place, name in enumerate(names) if name in OURS), len(names))
    foreign = [name for name in names[first:] if name and name not in OURS]
    outside = [name for name in foreign if name not in sys.stdlib_module_names]
    return next(reversed(outside or foreign), "")


def _modules(trace: TracebackType | None) -> Iterator[str]:
    """For each frame from the outermost on: the package of the module, if that is what runs in it
    or if it is ours, else nothing."""
    while trace is not None:
        code, name = trace.tb_frame.f_code, _top(trace.tb_frame.f_globals.get("__name__", ""))
        yield name if name in OURS or code.co_name == "<module>" else ""
        trace = trace.tb_next


def _top(module: str) -> str:
    return module.split(".")[0]


def _reason(error: BaseException) -> str:
    """The first line of what began it: a library may answer a failed import with a long letter."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return printable(line.strip()[:200])
