"""Settings -> run folder: the whole way from a structure to the last step."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.errors import OrbmmError, OutOfMemory, RunError
from orbmm.preparation.electrons import refuse_impossible_multiplicity
from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.settings import Settings, override_settings
from orbmm.simulation.doubts import tell_doubts
from orbmm.simulation.folder import RunFolder, claim_folder, describe_run, explain_disk_errors
from orbmm.simulation.forces import ConfidenceSource, ForceSource, NetworkForces
from orbmm.simulation.foresight import check_stages
from orbmm.simulation.guard.memory import explain_memory_errors
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.lock import LOCK_NAME
from orbmm.simulation.platform import find_platform
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.record import list_facts
from orbmm.simulation.stage_system import StageSystem
from orbmm.simulation.stages import Reached, Run, run_stages
from orbmm.simulation.start import Start, read_start

_LOG = logging.getLogger(__name__)


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
    Raises RunError for a missing file or a run folder in use, UnstableRun if the dynamics goes wrong. Where the start
    itself is refused, such as atoms on top of each other, a folder that was made for it is removed again.
    """
    forces = forces if forces is not None else NetworkForces()
    interruption = Interruption(max_hours)
    record = find_record(settings.model.name)
    settings = resolve_settings(settings, record)
    start = read_start(settings.system)
    refuse_impossible_multiplicity(start.topology, settings.model.charge, settings.model.multiplicity)
    steps = sum(stage.steps for stage in settings.stages)
    settings = dataclasses.replace(settings, model=forces.settle(settings.model, len(start.positions), steps))
    with explain_memory_errors(None, settings.model):
        system = forces.create_system(start.topology, settings.model)
        confidence = open_confidence(forces, settings, start)
    platform = find_platform(system, settings.run.platform)
    stage_system = StageSystem(system, start, settings.run.seed, platform)
    check_stages(settings, stage_system)
    path = find_output(settings)
    with explain_disk_errors(path):
        is_new = not path.exists()
        with claim_folder(path) as folder, _withdraw_refused_start(folder, is_new), interruption:
            identity = forces.identify(settings.model)
            describe_run(folder, settings, list_facts(settings, system, platform, identity))
            tell_doubts(settings, start.topology, record)
            reached = run_stages(Run(folder, settings, stage_system, confidence, on_progress), interruption)
    return make_outcome(folder.path, settings, reached)


@contextlib.contextmanager
def _withdraw_refused_start(folder: RunFolder, is_new: bool) -> Iterator[None]:
    """Remove the folder where its start is refused and nothing was computed that could be gone on from.

    Else the same command on the mended file would find the bad start in its way, and `orbmm resume` would run its copy.
    is_new: whether this call made the folder; one from before stays
    """
    try:
        yield
    except (RunError, OutOfMemory):  # of disk and memory: their sentences say how to resume
        raise
    except OrbmmError:
        with contextlib.suppress(OSError):  # the reason of the refusal matters more
            if is_new and _holds_only_a_start(folder):
                folder.record.unlink(missing_ok=True)  # first: without it, what a kill leaves may be taken over
                shutil.rmtree(folder.path)
        raise


def _holds_only_a_start(folder: RunFolder) -> bool:
    """Whether nothing lies there but what is written before the first frame and checkpoint: inputs, topologies, headers."""
    paths = (
        folder.settings,
        folder.record,
        folder.topology,
        folder.frame_topology,
        folder.table,
        folder.equilibration_table,
        folder.confidence.with_suffix(".json"),
    )
    known = {LOCK_NAME, "input", *(path.name for path in paths)}
    return not any(_holds_something(entry) for entry in folder.path.iterdir() if entry.name not in known)


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0


def open_confidence(forces: ForceSource, settings: Settings, start: Start) -> ConfidenceSource | None:
    """The confidence that a run writes; None where it is switched off or the model has none, which is said.

    Raises RunError where it was asked for and the model has none.
    """
    every_fs = settings.run.confidence_every_fs
    if every_fs == 0.0:
        return None
    source = forces.open_confidence(start.topology, settings.model)
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


def resolve_settings(settings: Settings, record: CheckpointRecord) -> Settings:
    """The settings with what was left open decided: the friction that the model needs, and the run folder."""
    friction = settings.run.friction_per_ps
    if friction is None:
        friction = record.friction_per_ps
        _LOG.info("friction %g/ps for %s: %s", friction, record.name, record.friction_reason)
    return override_settings(settings, {"run": {"friction_per_ps": friction, "output": find_output(settings)}})
