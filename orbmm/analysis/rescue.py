"""Why a run was stopped: the sentence that the guard leaves in its folder."""

from __future__ import annotations

from pathlib import Path

_FOLDER, _REASON = "rescue", "reason.txt"


def read_reason(folder: Path) -> str | None:
    """The sentence of the fault that stopped a run; None for one that was not stopped, or has been resumed since.

    `orbmm resume` renames the sentences of earlier faults.
    """
    faults = sorted((folder / _FOLDER).glob(f"*/{_REASON}"))
    return faults[-1].read_text(encoding="utf-8", errors="replace").strip() if faults else None
