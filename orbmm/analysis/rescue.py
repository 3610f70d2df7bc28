"""Why a run was stopped: the sentence that the guard leaves in its folder."""

from __future__ import annotations

from pathlib import Path

_FOLDER, _REASON = "rescue", "reason.txt"


def read_reason(folder: Path) -> str | None:
    """The sentence of the last fault of a run; None for a run that was not stopped, or was resumed and got beyond.

    Faults and checkpoints are named alike, later ones later in the alphabet; where both have one name, the fault came first.
    """
    faults = sorted(path.parent for path in (folder / _FOLDER).glob(f"*/{_REASON}"))
    if not faults or any(later.name >= faults[-1].name for later in (folder / "checkpoints").glob("*-*")):
        return None
    return (faults[-1] / _REASON).read_text(encoding="utf-8", errors="replace").strip()
