"""An interrupted run folder -> the same run at its full length."""

from __future__ import annotations

import logging
from pathlib import Path

from orbmm.settings import override_settings
from orbmm.simulation.changes import ResumeRequest, settle_settings, settle_weights
from orbmm.simulation.checkpoint import Checkpoint, drop_later, find_checkpoint, load_checkpoint
from orbmm.simulation.folder import explain_disk_errors, find_run
from orbmm.simulation.forces import ForceSource, NetworkForces
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.langevin import open_dynamics
from orbmm.simulation.lock import lock_folder
from orbmm.simulation.platform import choose_platform
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.run import Outcome, Parts, assemble, begin_run
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
        checkpoint = find_checkpoint(folder.checkpoints)
        step = 0 if checkpoint is None else checkpoint.step
        settings, record = settle_settings(folder, request, step)
        if checkpoint is not None and step >= settings.run.total_steps:
            _LOG.info("%s is complete: %d steps", path, step)
            return Outcome(folder.path, step, finished=True)
        settle_weights(folder, record, forces.identify(settings.model), request.accept_changes, step)
        settings = override_settings(settings, {"run": {"platform": choose_platform(record["platform"])}})
        start = read_start(settings.system)
        system = forces.create_system(start.topology, settings.model)
        dynamics = open_dynamics(start.topology, system, settings.run, bath_step=step)
        parts = Parts(folder, settings, start, dynamics, on_progress)
        _LOG.info("going on from step %d of %d", step, settings.run.total_steps)
        finished = _continue_run(parts, checkpoint, interruption)
    return Outcome(folder.path, dynamics.step, finished)


def _continue_run(parts: Parts, checkpoint: Checkpoint | None, interruption: Interruption) -> bool:
    if checkpoint is None:
        return begin_run(parts, interruption)
    load_checkpoint(checkpoint, parts.dynamics.context)
    drop_later(checkpoint)
    return assemble(parts, checkpoint).run(interruption)
