"""Start a run from settings, or resume one from its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import OrbmmError, OutOfMemory, RunError
from orbmm.preparation.elements import refuse_impossible_multiplicity
from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings, override_settings
from orbmm.simulation.advice import explain_disk_errors, explain_memory_errors
from orbmm.simulation.checks import check_stages, warn_about
from orbmm.simulation.folder.changes import ResumeRequest, accept_settings, accept_weights
from orbmm.simulation.folder.checkpoint import Checkpoint, find_checkpoint
from orbmm.simulation.folder.folder import claim_folder, find_run, lock_folder
from orbmm.simulation.folder.record import describe_run, list_facts
from orbmm.simulation.folder_checks import check_index, check_paths, holds_entries, refuse_lost_checkpoints
from orbmm.simulation.force_source import ConfidenceSource, Forces, ForceSource, NetworkForces
from orbmm.simulation.guard.rescue import retire_reasons
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.schedule import plan_stages
from orbmm.simulation.stages import Reached, Run, find_stage, run_stages
from orbmm.simulation.start.structure import Structure, read_start
from orbmm.simulation.system.platform import choose_platform, find_platform
from orbmm.simulation.system.stage_system import StageSystem

_LOG = logging.getLogger(__name__)
_AS_IT_WAS = ResumeRequest()


@dataclass(frozen=True)
class Outcome:
    """Where a run lies and how far it came; finished is False after a signal or at the end of its time.

    stage: kind of the stage it is in; step: of its phase, equilibration or production
    """

    folder: Path
    step: int
    finished: bool
    stage: str = "produce"


def start_run(
    settings: Settings,
    on_progress: OnProgress = ignore_progress,
    forces: ForceSource | None = None,
    max_hours: float | None = None,
) -> Outcome:
    """Run a system from its structure to its full length; the result depends on settings and seed alone.

    forces: where the System comes from; the network of the settings unless given
    max_hours: wall-clock time after which the run saves and ends; resumed, it is the same run
    Raises RunError for a missing file or a run folder in use, UnstableRun if the dynamics goes wrong. If the start
    itself is refused, such as atoms on top of each other, a folder that was made for it is removed again.
    """
    interruption = Interruption(max_hours)
    start = read_start(settings.system)
    refuse_impossible_multiplicity(start.topology, settings.model.charge, settings.model.multiplicity)
    steps = sum(stage.steps for stage in settings.stages)
    resolved = (forces or NetworkForces()).resolve(settings.model, len(start.positions), steps)
    settings = resolve_settings(settings, resolved)
    machinery = _build(settings, start, resolved, settings.run.platform)
    path = find_output(settings)
    with explain_disk_errors(path):
        is_new = not path.exists()
        with (
            claim_folder(path) as folder,
            _withdraw_refused_start(folder, settings, start if is_new else None),
            interruption,
        ):
            system = machinery.system
            facts = list_facts(settings, system.system, system.platform, resolved.identity)
            describe_run(folder, settings, facts)
            warn_about(settings, start.topology, resolved.record)
            reached = run_stages(machinery.enter(folder, settings, on_progress), interruption)
    return make_outcome(folder.path, settings, reached)


def resume_run(
    path: Path,
    on_progress: OnProgress = ignore_progress,
    forces: ForceSource | None = None,
    request: ResumeRequest = _AS_IT_WAS,
) -> Outcome:
    """Continue a run from its newest whole checkpoint to the length in its settings, or begin one that has none.

    On the same platform the steps are those that an uninterrupted run would have taken.
    Raises RunError if the folder holds no run, is being written, or its settings, inputs or weights have changed.
    """
    folder = find_run(path)
    interruption = Interruption(request.max_hours)
    with explain_disk_errors(folder.path), lock_folder(folder.path), interruption:
        check_paths(folder)
        checkpoint = find_checkpoint(folder.checkpoints)
        step = 0 if checkpoint is None else checkpoint.step
        accepted = accept_settings(folder, request, step)
        settings, record = accepted.settings, accepted.record
        if checkpoint is not None:
            check_index(checkpoint, find_stage(plan_stages(settings), checkpoint), folder, settings)
        start = read_start(settings.system)
        refuse_lost_checkpoints(folder, settings, checkpoint, start.topology.getNumAtoms())
        accepted.write(folder)
        if checkpoint is not None and _is_complete(settings, checkpoint):
            _LOG.info("%s is complete: %d steps", path, step)
            return Outcome(folder.path, step, finished=True)
        resolved = (forces or NetworkForces()).resolve(settings.model, len(start.positions), None)
        accept_weights(folder, record, resolved.identity, request.accept_changes, step)
        machinery = _build(settings, start, resolved, choose_platform(record["platform"]), folder)
        _LOG.info("going on from step %d", step)
        retire_reasons(folder.rescue)
        reached = run_stages(machinery.enter(folder, settings, on_progress), interruption, checkpoint)
    return make_outcome(folder.path, settings, reached)


@dataclass(frozen=True)
class _Machinery:
    """What moves the atoms: System and platform, and the confidence beside the forces, or None."""

    system: StageSystem
    confidence: ConfidenceSource | None

    def enter(self, folder: RunFolder, settings: Settings, on_progress: OnProgress) -> Run:
        """Return the run of this machinery in a folder."""
        return Run(folder, settings, self.system, self.confidence, on_progress)


def _build(
    settings: Settings, start: Structure, forces: Forces, platform: str, folder: RunFolder | None = None
) -> _Machinery:
    """Create the System and check every stage on it. folder: of a resumed run, named in advice."""
    with explain_memory_errors(folder, settings.model):
        system = forces.create_system(start.topology)
        confidence = open_confidence(forces, settings, start)
    stage_system = StageSystem(system, start, settings.run.seed, find_platform(system, platform))
    check_stages(settings, stage_system)
    return _Machinery(stage_system, confidence)


@contextlib.contextmanager
def _withdraw_refused_start(folder: RunFolder, settings: Settings, start: Structure | None) -> Iterator[None]:
    """Delete a new run folder if the start is refused before anything was computed.

    The same command then works once the input is corrected.
    start: of the run; None for a folder that was there before, which stays
    """
    try:
        yield
    except (RunError, OutOfMemory):  # of disk and memory: their sentences say how to resume
        raise
    except OrbmmError:
        with contextlib.suppress(OSError):  # the reason of the refusal matters more
            if start is not None and not holds_entries(folder, settings, len(start.positions)):
                folder.record.unlink(missing_ok=True)  # first: without it, what a kill leaves may be taken over
                shutil.rmtree(folder.path)
        raise


def _is_complete(settings: Settings, checkpoint: Checkpoint) -> bool:
    plan = plan_stages(settings)
    planned = find_stage(plan, checkpoint)
    return planned is plan[-1] and checkpoint.step >= planned.last_step


def open_confidence(forces: Forces, settings: Settings, start: Structure) -> ConfidenceSource | None:
    """The confidence that a run writes; None where it is switched off or the model has none, which is said.

    Raises RunError where it was asked for and the model has none.
    """
    every_fs = settings.run.confidence_every_fs
    if every_fs == 0.0:
        return None
    source = forces.open_confidence(start.topology)
    if source is None and every_fs is not None:
        raise RunError(
            f"confidence_every_fs is {every_fs:g}, but {settings.model.name} has no confidence head; leave it away"
        )
    if source is None:
        _LOG.info("%s has no confidence head: no confidence.dat is written", settings.model.name)
    return source


def make_outcome(folder: Path, settings: Settings, reached: Reached) -> Outcome:
    """What is told about a run that ended in order."""
    planned = reached.planned
    last = planned.phase == PRODUCTION and reached.step >= planned.phase_steps
    return Outcome(folder, reached.step, reached.complete and last, planned.stage.kind)


def find_output(settings: Settings) -> Path:
    """The run folder that the settings name, or runs/<name> in the current folder."""
    output = settings.run.output
    return (output if output is not None else Path("runs") / settings.system.name).resolve()


def resolve_settings(settings: Settings, forces: Forces) -> Settings:
    """Return the settings with what was left open: the model, the friction that it needs, and the run folder."""
    friction, record = settings.run.friction_per_ps, forces.record
    if friction is None:
        friction = record.friction_per_ps
        _LOG.info("friction %g/ps for %s: %s", friction, record.name, record.friction_reason)
    settings = dataclasses.replace(settings, model=forces.model)
    return override_settings(settings, {"run": {"friction_per_ps": friction, "output": find_output(settings)}})
