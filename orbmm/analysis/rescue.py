"""Why a run was stopped: the sentence that the guard leaves in its folder."""

from __future__ import annotations

from pathlib import Path

from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_file

_FOLDER, _REASON = "rescue", "reason.txt"
_LARGEST_BYTES = 100_000


def read_reason(folder: Path) -> str | None:
    """The sentence of the fault that stopped a run; None for one that was not stopped, or has been resumed since.

    Raises AnalysisError for one that cannot be read. `orbmm resume` renames the sentences of earlier faults.
    """
    faults = sorted((folder / _FOLDER).glob(f"*/{_REASON}"))
    try:
        return read_file(faults[-1], _LARGEST_BYTES).decode("utf-8", errors="replace").strip() if faults else None
    except (OSError, UnsafeFile) as error:
        raise AnalysisError(f"{faults[-1]}: cannot be read as the reason why the run was stopped ({error})") from error
