"""Operators of our own, which torch.compile takes as they are, gradient and all."""

from collections.abc import Callable
from typing import Any

import torch

NAMESPACE = "tinytx"
Operator = tuple[str, Callable[..., Any], Callable[..., Any]]
"""Its name and types as PyTorch writes them, what it does, and an empty result of its shape."""

_library = torch.library.Library(NAMESPACE, "DEF")  # type: ignore[no-untyped-call]


def operators(
    forward: Operator, gradient: Operator, backward: Callable[..., Any], keep: Callable[..., Any]
) -> None:
    """Register ``forward``, and ``gradient`` which ``backward`` calls on what ``keep`` has kept."""
    for schema, kernel, shape in (forward, gradient):
        name = _library.define(schema)  # type: ignore[no-untyped-call]
        _library.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"{NAMESPACE}::{name}", shape, lib=_library)
    torch.library.register_autograd(
        f"{NAMESPACE}::{forward[0].partition('(')[0]}", backward, setup_context=keep, lib=_library
    )
