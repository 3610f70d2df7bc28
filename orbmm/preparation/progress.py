"""How far the long stages of preparation are, for anybody who draws it."""

from __future__ import annotations

from collections.abc import Callable

# Called with the name of the stage and the part of it that is done, from 0 to 1; 1 is always the last.
OnProgress = Callable[[str, float], None]


def ignore_progress(stage: str, done: float) -> None:
    """What is called where nobody looks."""
