"""Opens all files that a stage writes: new ones, or those of before, cut back where a run is resumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.settings import Settings
from orbmm.settings.time_step import count_steps
from orbmm.simulation.checkpoint import Checkpoint
from orbmm.simulation.folder import RunFolder
from orbmm.simulation.reporters.confidence import ConfidenceWriter, describe_records
from orbmm.simulation.reporters.reporter import Reporter, cut_back
from orbmm.simulation.reporters.table import TableWriter
from orbmm.simulation.reporters.trajectory import TRAJECTORY_WRITERS, FrameTiming
from orbmm.simulation.schedule import PlannedStage
from orbmm.simulation.selection import select_atoms
from orbmm.simulation.start import Start
from orbmm.simulation.topology_files import keep_atoms

FRAMES_BETWEEN_CONFIDENCES = 10
"""Where the settings do not say: one evaluation without forces in the 200 steps that ten frames take."""


@dataclass(frozen=True)
class RunFiles:
    """Where a run writes, what its atoms are, and the edges of its confidence bins (B + 1,) [eV/Å] or None."""

    folder: RunFolder
    settings: Settings
    start: Start
    bin_edges: np.ndarray | None

    def open(self, planned: PlannedStage, checkpoint: Checkpoint | None) -> list[Reporter]:
        """The files of a stage; after a checkpoint they hold what they held then, so no entry is lost or doubled."""
        if checkpoint is not None:
            cut_back({self.folder.path / name: size for name, size in checkpoint.index.sizes.items()})
        first = planned.first_step if checkpoint is None else checkpoint.step
        is_new = checkpoint is None and planned.begins_phase
        if planned.phase == PRODUCTION:
            return [
                self._open_trajectory(planned, None if is_new else first),
                self._open_table(planned, is_new),
                *self._open_confidence(planned, is_new or self._begins_confidence(checkpoint)),
            ]
        return [self._open_table(planned, is_new)]

    def _open_trajectory(self, planned: PlannedStage, step: int | None) -> Reporter:
        """The trajectory as it is at a step, or with None a new one."""
        run, topology = self.settings.run, self.start.topology
        path = self.folder.trajectory(run.trajectory)
        atoms = None if run.frame_atoms == "all" else select_atoms(topology, run.frame_atoms)
        if atoms is not None:
            topology = keep_atoms(topology, atoms)
        if step is None:
            path.unlink(missing_ok=True)  # of a beginning that was killed before its first checkpoint
        between = run.count_steps("frame_every_fs", planned.stage.timestep_fs)
        timing = FrameTiming(between, planned.stage.timestep_fs / 1000.0)
        frames = 0 if step is None else step // between + 1
        return TRAJECTORY_WRITERS[run.trajectory](path, topology, timing, frames, atoms)

    def _open_table(self, planned: PlannedStage, is_new: bool) -> Reporter:
        run = self.settings.run
        path = self.folder.table if planned.phase == PRODUCTION else self.folder.equilibration_table
        between = run.count_steps("table_every_fs", planned.stage.timestep_fs)
        volume = any(stage.pressure_bar is not None for stage in self.settings.stages)
        return TableWriter(path, between, append=not is_new, volume=volume)

    def _begins_confidence(self, checkpoint: Checkpoint | None) -> bool:
        """Tell whether a checkpoint knows of no confidences, as in runs from before there were any."""
        return checkpoint is not None and self.folder.confidence.name not in checkpoint.index.sizes

    def _open_confidence(self, planned: PlannedStage, is_new: bool) -> list[Reporter]:
        run, path = self.settings.run, self.folder.confidence
        if self.bin_edges is None or run.confidence_every_fs == 0.0:
            return []
        every_fs = run.confidence_every_fs or FRAMES_BETWEEN_CONFIDENCES * run.frame_every_fs
        atoms = self.start.topology.getNumAtoms()
        append = not is_new and path.exists()
        if not append:
            describe_records(path, atoms, self.bin_edges, every_fs)
        between = count_steps("confidence_every_fs", every_fs, planned.stage.timestep_fs)
        return [ConfidenceWriter(path, atoms, between, append)]
