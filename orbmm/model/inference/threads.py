"""Compute with a number of processor threads, and leave the rest of the process as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def in_threads(count: int | None) -> Iterator[None]:
    """Let torch use this many threads in a `with` block, None for as many as it has.

    torch keeps the number for each thread of Python, so others are not changed. To set it takes below a microsecond.
    """
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
