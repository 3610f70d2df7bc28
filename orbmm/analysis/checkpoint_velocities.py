"""Velocities of a run, which only its checkpoints hold: read from OpenMM's portable state files, without OpenMM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError, StructureError
from orbmm.run_files.checkpoints import PRODUCTION, STATE_FILE, list_checkpoints
from orbmm.run_files.state_xml import read_state


@dataclass(frozen=True)
class Snapshot:
    """velocities: (N, 3) [nm/ps] at time_ps [ps]."""

    step: int
    time_ps: float
    velocities: NDArray[np.float64]


def read_snapshots(checkpoints: Path) -> Iterator[Snapshot]:
    """Yield the checkpoints of production, the earliest first. Raises AnalysisError for a damaged one."""
    for checkpoint in list_checkpoints(checkpoints):
        if checkpoint.phase != PRODUCTION:
            continue
        path = checkpoint.path / STATE_FILE
        try:
            state = read_state(path)
        except FileNotFoundError:
            continue  # a run that goes on removes its oldest checkpoint
        except (OSError, StructureError) as error:
            raise AnalysisError(f"{path}: cannot be read as a state of OpenMM ({error}); resume the run") from error
        if state.velocities is None:
            raise AnalysisError(f"{path}: holds no velocities; resume the run")
        yield Snapshot(state.step, state.time_ps, state.velocities)
