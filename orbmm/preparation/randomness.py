"""Builds that repeat: Modeller and PDBFixer draw from Python's global random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded_random(seed: int) -> Iterator[None]:
    """Within the block `random` draws from this seed; afterwards it goes on where it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
