"""Train a network on labelled frames: run leads through data, start, steps and refit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbmm.training.confidence.head import refit_confidence

__all__ = ["refit_confidence"]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562): processes that only label need no network."""
    if name != "refit_confidence":
        raise AttributeError(f"module 'orbmm.training' has no attribute {name!r}")
    from orbmm.training.confidence.head import refit_confidence

    return refit_confidence
