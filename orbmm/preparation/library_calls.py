"""Calls of OpenMM and PDBFixer: their errors in one sentence, their random numbers from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from openmm import OpenMMException

from orbmm.errors import PreparationError, quote_reason

LIBRARY_ERRORS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, AssertionError, OpenMMException)


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """Raise PreparationError that begins with these words where a library stops within the block."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        reason = quote_reason(error) if isinstance(error, (ValueError, OpenMMException)) else ""
        raise PreparationError(
            f"{what}{reason}: look for residues that are incomplete or numbered twice, or take them out of the file"
        ) from error


@contextmanager
def seeded_random(seed: int) -> Iterator[None]:
    """Within the block `random` draws from this seed; afterwards it goes on where it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
