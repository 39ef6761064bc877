"""Sessions of onnxruntime: which releases will do, how one is made and run, what it says.

Two private names of its Python wrapper are used where they are there, and done without where they
are not: then a step takes a microsecond or two more, or the weights are held twice.
"""

import re
from collections.abc import Callable
from typing import Any

import onnxruntime as ort

from tinytx.errors import BundleError, LibraryError
from tinytx.wording import printable

OLDEST = (1, 23, 0)
"""The first release that reads our graphs (ONNX IR 11); the lower bound in pyproject.toml."""
EXTERNAL_WEIGHTS = "session.model_external_initializers_file_folder_path"
NO_FOLDER = "/dev/null/none"  # there can be none
MOST_WORDS = 200  # characters of a message that may quote whatever a file holds
PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
# "/source/model.cc:181 onnxruntime::Model::Model(const A&, B) ": where in its source, before why.
PLACE = re.compile(
    r"(?:/|\b)[\w/.+-]+\.(?:cc|cpp|h|hpp):\d+ "
    r"(?:[\w:<>~*& ]*[\w:>]\((?:[^()]|\([^()]*\))*\)(?: const)? )?"
)

Run = Callable[[Any, ort.RunOptions], object]
Unwrap = Callable[[ort.IOBinding], Any]


def check_release(version: str) -> None:
    """Raises :class:`LibraryError` when this release of onnxruntime is too old."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found and tuple(int(number or 0) for number in found.groups()) < OLDEST:
        from tinytx.packages import how_to_install

        oldest = ".".join(map(str, OLDEST))
        raise LibraryError(
            f"onnxruntime {version} is installed, and {oldest} or newer is needed",
            how_to_install("onnxruntime"),
        )


def load_session(graph: bytes, threads: int, name: str) -> ort.InferenceSession:
    """A session that takes as little memory as it can; messages call the graph ``name``.

    Raises :class:`LibraryError` for a release that is too old, and :class:`BundleError`.
    """
    check_release(ort.__version__)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A graph that keeps weights in another file, wherever that lies, is refused.
    options.add_session_config_entry(EXTERNAL_WEIGHTS, NO_FOLDER)
    try:
        session = ort.InferenceSession(
            graph,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=False,  # it would print to stdout and then try the very same again
        )
    except Exception as error:  # onnxruntime's own error types share no public base
        raise BundleError(
            f"onnxruntime {ort.__version__} cannot load {name}: {reason(error)}"
        ) from error
    # The wrapper keeps the file's bytes to make the session anew for another provider, which
    # never happens here: the weights would be held twice.
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None
    return session


def runner(session: ort.InferenceSession) -> tuple[Run, Unwrap]:
    """What runs a step that is bound, and what makes of a binding the thing that it takes.

    Past the wrapper, which looks for captured GPU graphs on every call (1 us of 72, or 34 with
    options); through it, and then without options, in a release that has no such inside.
    """
    try:
        run, binding = session._sess.run_with_iobinding, session.io_binding()
        binding._iobinding  # noqa: B018 (is it there?)
    except AttributeError:
        return lambda binding, _: session.run_with_iobinding(binding), lambda binding: binding
    return run, lambda binding: binding._iobinding


def reason(error: Exception) -> str:
    """Why onnxruntime refused, in at most 200 printable characters of one line."""
    line = next(iter(str(error).splitlines()), "")[:2_000]
    words = PLACE.sub("", PREFIX.sub("", line)).strip() or type(error).__name__
    return printable(words[:MOST_WORDS])
