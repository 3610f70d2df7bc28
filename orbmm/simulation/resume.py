"""An interrupted run folder -> the same run at its full length."""

from __future__ import annotations

import logging
from pathlib import Path

from orbmm.settings import Settings
from orbmm.simulation.changes import ResumeRequest, accept_settings, settle_weights
from orbmm.simulation.checkpoint import Checkpoint, find_checkpoint
from orbmm.simulation.folder import explain_disk_errors, find_run
from orbmm.simulation.forces import ForceSource, NetworkForces
from orbmm.simulation.foresight import check_stages
from orbmm.simulation.guard.memory import explain_memory_errors
from orbmm.simulation.guard.rescue import retire_reasons
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.lock import lock_folder
from orbmm.simulation.platform import choose_platform, find_platform
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.resume_checks import check_index, check_paths, refuse_lost_checkpoints
from orbmm.simulation.run import Outcome, make_outcome, open_confidence
from orbmm.simulation.schedule import plan_stages
from orbmm.simulation.stage_system import StageSystem
from orbmm.simulation.stages import Run, find_stage, run_stages
from orbmm.simulation.start import read_start

_LOG = logging.getLogger(__name__)
_AS_IT_WAS = ResumeRequest()


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
    forces = forces if forces is not None else NetworkForces()
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
        settle_weights(folder, record, forces.identify(settings.model), request.accept_changes, step)
        with explain_memory_errors(folder, settings.model):
            system = forces.create_system(start.topology, settings.model)
            confidence = open_confidence(forces, settings, start)
        platform = find_platform(system, choose_platform(record["platform"]))
        _LOG.info("going on from step %d", step)
        stage_system = StageSystem(system, start, settings.run.seed, platform)
        check_stages(settings, stage_system)
        retire_reasons(folder.rescue)
        reached = run_stages(Run(folder, settings, stage_system, confidence, on_progress), interruption, checkpoint)
    return make_outcome(folder.path, settings, reached)


def _is_complete(settings: Settings, checkpoint: Checkpoint) -> bool:
    plan = plan_stages(settings)
    planned = find_stage(plan, checkpoint)
    return planned is plan[-1] and checkpoint.step >= planned.last_step
