"""Opens all files that a run writes, new or cut back to a checkpoint."""

from __future__ import annotations

from openmm import app

from orbmm.settings import RunSettings
from orbmm.simulation.checkpoint import Checkpoint
from orbmm.simulation.folder import RunFolder
from orbmm.simulation.reporters.reporter import Reporter, cut_back
from orbmm.simulation.reporters.table import TableWriter
from orbmm.simulation.reporters.trajectory import TRAJECTORY_WRITERS, FrameTiming


def open_reporters(
    folder: RunFolder, run: RunSettings, topology: app.Topology, checkpoint: Checkpoint | None = None
) -> list[Reporter]:
    """Trajectory and table; after a checkpoint they hold what they held then, so no entry is lost or doubled."""
    trajectory = folder.trajectory(run.trajectory)
    frames = 0
    if checkpoint is None:
        trajectory.unlink(missing_ok=True)  # of a beginning that was killed before its first checkpoint
    else:
        for path in (trajectory, folder.table):
            cut_back(path, checkpoint.sizes[path.name])
        frames = checkpoint.step // run.steps_per_frame + 1
    timing = FrameTiming(run.steps_per_frame, run.timestep_fs / 1000.0)
    return [
        TRAJECTORY_WRITERS[run.trajectory](trajectory, topology, timing, frames),
        TableWriter(folder.table, run.steps_per_row, append=checkpoint is not None),
    ]
