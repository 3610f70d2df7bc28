"""One line of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """The state of a check: it works, works with a limit that a user should know, or stops orbmm from working."""

    GOOD = "good"
    LIMITED = "limited"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """The subject of a check, its state, what was seen, and what to do where there is something to do."""

    subject: str
    state: State
    seen: str
    advice: str = ""
