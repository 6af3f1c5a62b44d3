"""Keeps an import from building what the trainer never uses.

bitsandbytes wraps a few functions for hardware without a kernel of its own in `torch.compile` while it is imported, and
that loads torch's whole compiler: a fifth of the time until training starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


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
