"""The files that grow during a run, each declared once in OUTPUTS, and the code that opens those of a stage.

A resumed run uses the declarations to check the files and to cut them back to a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orbmm.run_files.checkpoints import EQUILIBRATION, PRODUCTION
from orbmm.run_files.confidence import describe_records
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings
from orbmm.settings.model import NO_DISPERSION
from orbmm.settings.run import TRAJECTORY_FORMATS
from orbmm.settings.time_step import count_steps
from orbmm.simulation.dynamics.thermometer import MASSLESS, find_elements
from orbmm.simulation.folder.checkpoint import Checkpoint
from orbmm.simulation.reporters import confidence, table, trajectory
from orbmm.simulation.reporters.reporter import CountEntries, Reporter, cut_back
from orbmm.simulation.reporters.topology import keep_atoms
from orbmm.simulation.schedule import PlannedStage
from orbmm.simulation.start.selection import select_atoms
from orbmm.simulation.start.structure import Structure

FRAMES_BETWEEN_CONFIDENCES = 10
"""Default of the settings: one evaluation without forces in ten frames, by default 200 steps."""


@dataclass(frozen=True)
class RunFiles:
    """The folder, settings and start of a run.

    bin_edges: of its confidence bins (B + 1,) [eV/Å], or None; rotation: the rotational gradient is known
    """

    folder: RunFolder
    settings: Settings
    start: Structure
    bin_edges: np.ndarray | None
    rotation: bool = False

    def open(self, planned: PlannedStage, checkpoint: Checkpoint | None) -> list[Reporter]:
        """Open the files of a stage and return their reporters.

        After a checkpoint the files are first cut back to their sizes in it, so no entry is lost or written twice.
        """
        if checkpoint is not None:
            cut_back({self.folder.path / name: size for name, size in checkpoint.index.sizes.items()})
        reporters = []
        for output in list_outputs(planned.phase):
            # A checkpoint of an older version may not have this file.
            known = (
                output.find_name(self.settings) in checkpoint.index.sizes if checkpoint else not planned.begins_phase
            )
            step = checkpoint.step if checkpoint else planned.first_step
            reporter = output.open(self, planned, step if known else None)
            if reporter is not None:
                reporters.append(reporter)
        return reporters


@dataclass(frozen=True)
class Output:
    """One file that grows during a phase of a run.

    names: of the file: one, or one for each format in TRAJECTORY_FORMATS
    every: the key of [run] with the time between two entries
    open: returns the reporter, which continues after a step or, for None, starts a new file; None if the run has no
    such file
    count_entries: returns 0, 1 or 2 for no entry, one entry, or more
    optional: some runs do not have the file
    """

    names: tuple[str, ...]
    phase: str
    every: str
    open: Callable[[RunFiles, PlannedStage, int | None], Reporter | None]
    count_entries: CountEntries
    optional: bool = False

    def find_name(self, settings: Settings) -> str:
        """Return the name of the file in a run with these settings."""
        return self.names[TRAJECTORY_FORMATS.index(settings.run.trajectory)] if len(self.names) > 1 else self.names[0]


def list_outputs(phase: str | None = None) -> tuple[Output, ...]:
    """Return the outputs of a phase, or of all."""
    return tuple(output for output in OUTPUTS if phase in (None, output.phase))


def count_frame_atoms(settings: Settings, start: Structure) -> int:
    """Return the number of atoms in a frame of the trajectory."""
    chosen = settings.run.frame_atoms
    return len(start.positions) if chosen == "all" else len(select_atoms(start.topology, chosen))


def _open_trajectory(files: RunFiles, planned: PlannedStage, step: int | None) -> Reporter:
    run, topology = files.settings.run, files.start.topology
    path = files.folder.trajectory(run.trajectory)
    atoms = None if run.frame_atoms == "all" else select_atoms(topology, run.frame_atoms)
    if atoms is not None:
        topology = keep_atoms(topology, atoms)
    if step is None:
        path.unlink(missing_ok=True)  # of a start that was killed before its first checkpoint
    between = run.count_steps("frame_every_fs", planned.stage.timestep_fs)
    timing = trajectory.FrameTiming(between, planned.stage.timestep_fs / 1000.0)
    frames = 0 if step is None else step // between + 1
    return trajectory.TRAJECTORY_WRITERS[run.trajectory](path, topology, timing, frames, atoms)


def _open_table(files: RunFiles, planned: PlannedStage, step: int | None) -> Reporter:
    path = files.folder.table if planned.phase == PRODUCTION else files.folder.equilibration_table
    between = files.settings.run.count_steps("table_every_fs", planned.stage.timestep_fs)
    dispersion = files.settings.model.dispersion != NO_DISPERSION
    volume = any(stage.pressure_bar is not None for stage in files.settings.stages)
    symbols = [symbol for symbol in find_elements(files.start.topology).symbols if symbol != MASSLESS]
    columns = table.OptionalColumns(volume, dispersion, tuple(symbols), files.rotation)
    return table.TableWriter(path, between, step is not None, columns)


def _open_confidence(files: RunFiles, planned: PlannedStage, step: int | None) -> Reporter | None:
    run, path = files.settings.run, files.folder.confidence
    if files.bin_edges is None or run.confidence_every_fs == 0.0:
        return None
    every_fs = run.confidence_every_fs or FRAMES_BETWEEN_CONFIDENCES * run.frame_every_fs
    append = step is not None and path.exists()
    if not append:
        describe_records(path, files.start.topology.getNumAtoms(), files.bin_edges, every_fs)
    between = count_steps("confidence_every_fs", every_fs, planned.stage.timestep_fs)
    return confidence.ConfidenceWriter(path, between, append)


OUTPUTS = (
    Output(
        tuple(f"trajectory.{name}" for name in TRAJECTORY_FORMATS),
        PRODUCTION,
        "frame_every_fs",
        _open_trajectory,
        trajectory.count_frames,
    ),
    Output(("energies.csv",), PRODUCTION, "table_every_fs", _open_table, table.count_rows),
    Output(
        ("confidence.dat",),
        PRODUCTION,
        "confidence_every_fs",
        _open_confidence,
        confidence.count_records,
        optional=True,
    ),
    Output(("equilibration.csv",), EQUILIBRATION, "table_every_fs", _open_table, table.count_rows),
)
