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
from orbmm.forces.dispersion_group import DispersionMeter, open_meter
from orbmm.preparation.elements import refuse_impossible_multiplicity
from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings, override_settings
from orbmm.settings.model import NO_DISPERSION
from orbmm.simulation.advice import explain_disk_errors, explain_memory_errors
from orbmm.simulation.checks import check_diagnosis, check_stages, warn_about
from orbmm.simulation.folder.changes import ResumeRequest, accept_settings, accept_weights
from orbmm.simulation.folder.checkpoint import Checkpoint, find_checkpoint
from orbmm.simulation.folder.content import ContentHashes
from orbmm.simulation.folder.folder import claim_folder, find_run
from orbmm.simulation.folder.lock import lock_folder
from orbmm.simulation.folder.record import describe_run, list_facts, record_contact
from orbmm.simulation.folder_checks import (
    check_content,
    check_index,
    check_paths,
    holds_entries,
    refuse_lost_checkpoints,
)
from orbmm.simulation.force_source import ConfidenceSource, Forces, ForceSource, NetworkForces, RotationSource
from orbmm.simulation.guard.rescue import retire_reasons
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.progress import OnProgress, ignore_progress, outlive_display
from orbmm.simulation.schedule import plan_stages
from orbmm.simulation.stages import Reached, Run, find_stage, run_stages
from orbmm.simulation.start.structure import Structure, read_start
from orbmm.simulation.system.platform import choose_platform, find_platform
from orbmm.simulation.system.stage_system import StageSystem

_LOG = logging.getLogger(__name__)
_AS_IT_WAS = ResumeRequest()


@dataclass(frozen=True)
class Outcome:
    """The result of a run or of a part of it.

    step: the last step, counted in its phase, equilibration or production; stage: kind of the last stage
    finished: False after a signal or at the time limit
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
    use_lock: bool = True,
) -> Outcome:
    """Run a system from its structure to its full length.

    The result depends only on settings and seed, once all settings are decided: what was measured is in settings.toml.

    forces: source of the System; the network of the settings unless given
    max_hours: wall-clock time after which the run writes a checkpoint and ends; it can be resumed
    use_lock: False for a file system without locks
    Raises RunError for a missing file or a run folder in use, UnstableRun if the dynamics become unstable. If the start
    is refused, for example because atoms overlap, a new run folder is removed again.
    """
    interruption = Interruption(max_hours)
    start = read_start(settings.system)
    refuse_impossible_multiplicity(start.topology, settings.model.charge, settings.model.multiplicity)
    steps = sum(stage.steps for stage in settings.stages)
    resolved = (forces or NetworkForces()).resolve(settings.model, start, steps)
    settings = resolve_settings(settings, resolved)
    if settings.run.diagnosis is not None:  # the weights may have to be downloaded for it
        check_diagnosis(settings.run.diagnosis, resolved.identity.weights_sha256, start.topology)
    machinery = _build(settings, start, resolved, settings.run.platform)
    path = find_output(settings)
    with explain_disk_errors(path, record=RunFolder(path).record):
        is_new = not path.exists()
        with (
            claim_folder(path, use_lock) as folder,
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
    """Continue a run from its newest undamaged checkpoint to the length in its settings.

    A run without a checkpoint starts from step 0. On the same platform the steps equal those of an uninterrupted run.
    Raises RunError if the folder holds no run, is in use, or its settings, inputs or weights have changed.
    """
    folder = find_run(path)
    interruption = Interruption(request.max_hours)
    with explain_disk_errors(folder.path), lock_folder(folder.path, request.use_lock), interruption:
        check_paths(folder)
        checkpoint = find_checkpoint(folder.checkpoints)
        step = 0 if checkpoint is None else checkpoint.step
        accepted = accept_settings(folder, request, checkpoint)
        settings, record = accepted.settings, accepted.record
        if checkpoint is not None:
            check_index(checkpoint, find_stage(plan_stages(settings), checkpoint), folder, settings)
        start = read_start(settings.system)
        refuse_lost_checkpoints(folder, settings, checkpoint, start.topology.getNumAtoms())
        hashes = None if checkpoint is None else check_content(checkpoint, folder, settings, start)
        accepted.write(folder)
        if checkpoint is not None and _is_complete(settings, checkpoint):
            _LOG.info("%s is complete: %d steps", path, step)
            return Outcome(folder.path, step, finished=True)
        resolved = (forces or NetworkForces()).resolve(settings.model, start, None)
        accept_weights(folder, record, resolved.identity, request.accept_changes, step)
        machinery = _build(settings, start, resolved, choose_platform(record["platform"]), folder)
        record_contact(folder, resolved.identity)
        _LOG.info("continuing from step %d", step)
        retire_reasons(folder.rescue)
        reached = run_stages(machinery.enter(folder, settings, on_progress, hashes), interruption, checkpoint)
    return make_outcome(folder.path, settings, reached)


@dataclass(frozen=True)
class _Machinery:
    """The System with its platform, and what is measured beside its forces, or None."""

    system: StageSystem
    confidence: ConfidenceSource | None
    rotation: RotationSource | None
    dispersion: DispersionMeter | None

    def enter(
        self, folder: RunFolder, settings: Settings, on_progress: OnProgress, hashes: ContentHashes | None = None
    ) -> Run:
        """Return a run of this System in a folder. hashes: of the growing files of a resumed run"""
        display, known = outlive_display(on_progress), hashes or ContentHashes()
        measured = (self.confidence, self.rotation, self.dispersion)
        return Run(folder, settings, self.system, *measured, display, known)


def _build(
    settings: Settings, start: Structure, forces: Forces, platform: str, folder: RunFolder | None = None
) -> _Machinery:
    """Create the System and check every stage with it. folder: of a resumed run, for advice in errors"""
    with explain_memory_errors(folder, settings.model):
        system = forces.create_system(start.topology)
        confidence = open_confidence(forces, settings, start)
        rotation = forces.open_rotation(start.topology)
        dispersion = None if settings.model.dispersion == NO_DISPERSION else open_meter(system)
    stage_system = StageSystem(system, start, settings.run.seed, find_platform(system, platform))
    check_stages(settings, stage_system)
    return _Machinery(stage_system, confidence, rotation, dispersion)


@contextlib.contextmanager
def _withdraw_refused_start(folder: RunFolder, settings: Settings, start: Structure | None) -> Iterator[None]:
    """Delete a new run folder if the start is refused before anything was computed.

    So the same command works after the input is corrected.
    start: of the run; None for a folder that existed before, which is kept
    """
    try:
        yield
    except (RunError, OutOfMemory):  # disk and memory: their messages say how to resume
        raise
    except OrbmmError:
        with contextlib.suppress(OSError):  # the reason of the refusal matters more
            if start is not None and not holds_entries(folder, settings, len(start.positions)):
                folder.record.unlink(missing_ok=True)  # first: a folder without it is accepted by a new run
                shutil.rmtree(folder.path)
        raise


def _is_complete(settings: Settings, checkpoint: Checkpoint) -> bool:
    plan = plan_stages(settings)
    planned = find_stage(plan, checkpoint)
    return planned is plan[-1] and checkpoint.step >= planned.last_step


def open_confidence(forces: Forces, settings: Settings, start: Structure) -> ConfidenceSource | None:
    """Return the confidence source of a run; None if it is switched off or, with a log line, if the model has none.

    Raises RunError if the settings ask for it and the model has none.
    """
    every_fs = settings.run.confidence_every_fs
    if every_fs == 0.0:
        return None
    source = forces.open_confidence(start.topology)
    if source is None and every_fs is not None:
        raise RunError(
            f"confidence_every_fs is {every_fs:g}, but {settings.model.name} has no confidence head; remove the setting"
        )
    if source is None:
        _LOG.info("%s has no confidence head: no confidence.dat is written", settings.model.name)
    return source


def make_outcome(folder: Path, settings: Settings, reached: Reached) -> Outcome:
    """Return the outcome of a run that ended without an error."""
    planned = reached.planned
    last = planned.phase == PRODUCTION and reached.step >= planned.phase_steps
    return Outcome(folder, reached.step, reached.complete and last, planned.stage.kind)


def find_output(settings: Settings) -> Path:
    """Return the run folder in the settings, or runs/<name> in the current folder."""
    output = settings.run.output
    return (output if output is not None else Path("runs") / settings.system.name).resolve()


def resolve_settings(settings: Settings, forces: Forces) -> Settings:
    """Return the settings with model, friction and run folder resolved, if they were left open."""
    friction, record = settings.run.friction_per_ps, forces.record
    if friction is None:
        friction = record.friction_per_ps
        _LOG.info("friction %g/ps for %s: %s", friction, record.name, record.friction_reason)
    settings = dataclasses.replace(settings, model=forces.model)
    return override_settings(settings, {"run": {"friction_per_ps": friction, "output": find_output(settings)}})
