"""Lets the libraries of training be imported in less time, while a GPU is idle.

bitsandbytes wraps a few functions for hardware without a kernel of its own in `torch.compile` while it is imported, and
that loads torch's whole compiler: a fifth of the time until training starts. And the garbage collector looks through
everything that was imported so far again and again, a quarter of the time of the imports, though all of it stays.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def importing() -> Iterator[None]:
    """Import what stays until the process ends, without the compiler and without collections of garbage.

    Later collections do not look through it either: each full one would take a third of a second.
    """
    gc.disable()
    try:
        with without_compiler():
            yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without_compiler() -> Iterator[None]:
    """Import torch; what is imported inside and wants itself compiled stays as it is written."""
    import torch  # noqa: PLC0415 - slow, in the train stage only

    real = torch.compile
    torch.compile = _unchanged
    try:
        yield
    finally:
        torch.compile = real


def _unchanged(function: Callable[..., Any] | None = None, **_options: Any) -> Any:
    """Replace `torch.compile` as a decorator, with or without arguments."""
    return function if function is not None else lambda inner: inner
