"""An interrupted run folder -> the same run at its full length."""

from __future__ import annotations

import logging
from pathlib import Path

from orbmm.errors import RunError
from orbmm.settings import override_settings
from orbmm.simulation.checkpoint import drop_later, find_checkpoint, load_checkpoint
from orbmm.simulation.folder import explain_disk_errors, open_folder
from orbmm.simulation.forces import ForceSource, NetworkForces
from orbmm.simulation.langevin import open_dynamics
from orbmm.simulation.platform import choose_platform
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.run import Outcome, assemble
from orbmm.simulation.start import read_start

_LOG = logging.getLogger(__name__)


def resume_run(path: Path, on_progress: OnProgress = ignore_progress, forces: ForceSource | None = None) -> Outcome:
    """Continue a run from its newest whole checkpoint to the length in its settings.

    On the same platform the steps are those that an uninterrupted run would have taken.
    Raises RunError if the folder holds no run or its settings, inputs or weights have changed.
    """
    forces = forces if forces is not None else NetworkForces()
    folder, settings, record = open_folder(path)
    checkpoint = find_checkpoint(folder.checkpoints)
    if checkpoint.step >= settings.run.total_steps:
        _LOG.info("%s is complete: %d steps", path, checkpoint.step)
        return Outcome(folder.path, checkpoint.step, finished=True)
    _require_same_weights(forces.identify(settings.model).weights_sha256, record["weights_sha256"])
    topology = read_start(settings.system).topology
    system = forces.create_system(topology, settings.model)
    run = override_settings(settings, {"run": {"platform": choose_platform(record["platform"])}}).run
    with explain_disk_errors(folder.path):
        dynamics = open_dynamics(topology, system, run, bath_step=checkpoint.step)
        load_checkpoint(checkpoint, dynamics.context)
        drop_later(checkpoint)
        production = assemble(folder, run, topology, dynamics, on_progress, checkpoint)
        _LOG.info("going on from step %d of %d", checkpoint.step, run.total_steps)
        finished = production.run()
    return Outcome(folder.path, dynamics.step, finished)


def _require_same_weights(found: str, recorded: str) -> None:
    if found != recorded:
        raise RunError(
            f"the weights have changed since the run began: sha256 {recorded[:12]}... then, {found[:12]}... now; "
            "a run is resumed with the same weights, or begun anew"
        )
