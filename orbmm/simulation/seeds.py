"""One seed in the settings, and from it an own one for each random choice of a run."""

from __future__ import annotations

import hashlib

_LARGEST = 2**31 - 1


def derive_seed(seed: int, purpose: str, step: int = 0) -> int:
    """A seed for OpenMM (1 ... 2^31 - 1; 0 would mean "any").

    OpenMM draws velocities and the bath's noise with the same generator, so equal seeds would correlate them.
    """
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LARGEST + 1
