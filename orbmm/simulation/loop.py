"""The loop of a stage with time steps: integrate, check, write and save until the end or a signal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from orbmm.errors import OutOfMemory, UnsafeFile, UnstableRun
from orbmm.forces.dispersion_group import DispersionMeter
from orbmm.run_files.checkpoints import list_checkpoints, name_step
from orbmm.run_files.layout import RunFolder
from orbmm.simulation.advice import advise_unstable, describe_kept, explain_disk_errors
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.folder.checkpoint import write_checkpoint
from orbmm.simulation.force_source import ConfidenceSource, RotationSource
from orbmm.simulation.guard.guard import Guard
from orbmm.simulation.guard.rescue import trace_fault, write_rescue
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.progress import OnProgress, Pace, Progress
from orbmm.simulation.reporters.growing import GrowingFiles
from orbmm.simulation.reporters.reporter import Reporter
from orbmm.simulation.reporters.rmsd import RmsdMeter
from orbmm.simulation.schedule import PlannedStage

STEPS_BETWEEN_LOOKS = 50
"""Largest number of steps between two checks of the guard, even if no file is written."""

_SECONDS_BETWEEN_LISTENING = 0.5
"""About the longest delay between a signal and its effect."""


@dataclass
class Loop:
    """The loop of one stage.

    confidence, rmsd and dispersion: None if not requested; rotation: None if the forces have none
    """

    dynamics: Dynamics
    planned: PlannedStage
    guard: Guard
    files: GrowingFiles
    folder: RunFolder
    steps_per_checkpoint: int
    on_progress: OnProgress
    confidence: ConfidenceSource | None = None
    rmsd: RmsdMeter | None = None
    rotation: RotationSource | None = None
    dispersion: DispersionMeter | None = None
    _pace: Pace = field(init=False)
    _saved_step: int = field(init=False)
    _snapshot: bytes | None = field(init=False, default=None)
    _potential_energy: float = field(init=False, default=float("nan"))

    def __post_init__(self) -> None:
        self._start_pace()
        self._saved_step = self.dynamics.step  # a resumed run or a next stage has a checkpoint; else `begin` writes it

    def begin(self) -> None:
        """Write frame and row of step 0 and the first checkpoint of a phase.

        The speed is measured from here on, without work before the first step such as compiling a network.
        """
        with self._explain_faults():
            self._stop_here()
        self._start_pace()

    def run(self, interruption: Interruption) -> bool:
        """Run to the last step, or until the run should end; write a checkpoint there.

        Returns whether the last step was reached. Raises UnstableRun before a faulty frame is written.
        """
        while self.dynamics.step < self.planned.last_step and not interruption.requested:
            with self._explain_faults():
                self._step_to(self._find_next_stop(), interruption)
                self._pace.mark(self.dynamics.step)
                self._stop_here()
        if self._saved_step != self.dynamics.step:
            self._save()
        return self.dynamics.step >= self.planned.last_step

    def _start_pace(self) -> None:
        self._pace = Pace(self.dynamics.timestep_ps, self.dynamics.step)

    def _find_next_stop(self) -> int:
        """Return the next step at which something is checked or written."""
        step = self.dynamics.step
        intervals = [reporter.steps_between for reporter in self.files.reporters]
        intervals += [self.steps_per_checkpoint, STEPS_BETWEEN_LOOKS]
        return min(self.planned.last_step, *((step // interval + 1) * interval for interval in intervals))

    def _step_to(self, target: int, interruption: Interruption) -> None:
        """Integrate up to a step in short pieces, and stop between them if the run should end."""
        while self.dynamics.step < target and not interruption.requested:
            seconds = self._pace.seconds_per_step
            stretch = int(_SECONDS_BETWEEN_LISTENING / seconds) if seconds > 0.0 else 1
            self.dynamics.advance(min(target - self.dynamics.step, max(1, stretch)))

    def _stop_here(self) -> None:
        """Check the current step and then write it."""
        due = [reporter for reporter in self.files.reporters if self.dynamics.step % reporter.steps_between == 0]
        frame = self._observe(due)
        self.guard.check(frame)
        self._snapshot = self.dynamics.context.createCheckpoint()
        for reporter in due:
            with explain_disk_errors(reporter.path, f" at step {frame.step}"):
                self.files.report(reporter, frame)
        if frame.step % self.steps_per_checkpoint == 0:
            self._save()
        self._tell_progress(frame)

    def _observe(self, due: Sequence[Reporter]) -> Frame:
        """Return the frame of the current step with the values that the due reporters need."""
        energy = any(reporter.needs_energy for reporter in due)
        frame = self.dynamics.observe(energy, self._pace.ns_per_day)
        if self.rotation is not None and energy:
            frame = dataclasses.replace(frame, rotational_gradient=self.rotation.measure(frame.positions, frame.box))
        if self.dispersion is not None and energy:
            with self.dynamics.translate_errors():
                added = self.dispersion.measure(frame.positions, frame.box)
            frame = dataclasses.replace(frame, dispersion_energy=added)
        if self.confidence is None or not any(reporter.needs_confidence for reporter in due):
            return frame
        return dataclasses.replace(frame, confidence=self.confidence.measure(frame.positions, frame.box))

    def _save(self) -> None:
        """Force the output files onto the disk, then write a checkpoint with their sizes and hashes."""
        with explain_disk_errors(self.folder.checkpoints, f" at step {self.dynamics.step}"):
            write_checkpoint(self.folder.checkpoints, self.dynamics.context, self.planned, self.files.save())
        self._saved_step = self.dynamics.step

    @contextmanager
    def _explain_faults(self) -> Iterator[None]:
        """Complete the errors of an unstable run: find its first faulty frame, save frames, and add advice."""
        try:
            yield
        except UnstableRun as error:
            sentence = str(error)
            if self._snapshot is not None:
                sentence = trace_fault(self.dynamics, self.guard, self._snapshot, self.dynamics.step) or sentence
            raise UnstableRun(advise_unstable(sentence, self._rescue(sentence))) from error
        except OutOfMemory as error:
            raise OutOfMemory(f"{error}; {self._describe_checkpoint()}") from error

    def _rescue(self, sentence: str) -> str:
        """Write the last good frames; return the end of the error message, which says where they are."""
        folder = self.folder.rescue / name_step(self.planned.phase, self.dynamics.step)
        kept = self._describe_checkpoint()
        try:
            write_rescue(folder, self.guard, sentence)
        except (OSError, UnsafeFile) as error:
            reason = error.strerror if isinstance(error, OSError) else error.fault
            return f"the last good frames cannot be written to {folder} ({reason}), {kept}"
        return f"the last good frames and forces are in {folder}, {kept}"

    def _describe_checkpoint(self) -> str:
        return describe_kept(bool(list_checkpoints(self.folder.checkpoints)))

    def _tell_progress(self, frame: Frame) -> None:
        if frame.potential_energy is not None:
            self._potential_energy = frame.potential_energy
        total = self.planned.phase_steps
        self.on_progress(
            Progress(
                stage=self.planned.stage.kind,
                step=frame.step,
                total_steps=total,
                time_ps=frame.time_ps,
                ns_per_day=frame.speed,
                seconds_left=(total - frame.step) * self._pace.seconds_per_step,
                temperature_kelvin=frame.temperature,
                potential_energy_kj_mol=self._potential_energy,
                rmsd_nm=None if self.rmsd is None else self.rmsd.measure(frame.positions),
            )
        )
