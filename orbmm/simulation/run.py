"""Settings -> run folder: the whole way from a structure to the last step."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from openmm import app, unit

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.settings import Settings, override_settings
from orbmm.simulation.checkpoint import Checkpoint
from orbmm.simulation.durable import write_durably
from orbmm.simulation.dynamics import Dynamics
from orbmm.simulation.folder import RunFolder, claim_folder, describe_run, explain_disk_errors
from orbmm.simulation.forces import ForceSource, NetworkForces
from orbmm.simulation.guard.guard import make_guard
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.langevin import draw_velocities, open_dynamics
from orbmm.simulation.minimise import minimise
from orbmm.simulation.production import Production
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.record import list_facts
from orbmm.simulation.reporters.files import open_reporters
from orbmm.simulation.start import Start, read_start
from orbmm.simulation.training_domain import warn_untrained


@dataclass(frozen=True)
class Outcome:
    """Where a run lies and how far it came; finished is False after a signal or at the end of its time."""

    folder: Path
    step: int
    finished: bool


def start_run(
    settings: Settings,
    on_progress: OnProgress = ignore_progress,
    forces: ForceSource | None = None,
    max_hours: float | None = None,
) -> Outcome:
    """Run a system from its structure to its full length; the result depends on settings and seed alone.

    forces: where the System comes from; the network of the settings unless given
    max_hours: wall-clock time after which the run saves and ends; resumed, it is the same run
    Raises RunError for a missing file or a run folder in use, UnstableRun if the dynamics goes wrong.
    """
    forces = forces if forces is not None else NetworkForces()
    interruption = Interruption(max_hours)
    record = find_record(settings.model.name)
    settings = resolve_settings(settings, record)
    start = read_start(settings.system)
    warn_untrained(start.topology, record)
    system = forces.create_system(start.topology, settings.model)
    path = find_output(settings)
    with explain_disk_errors(path), claim_folder(path) as folder, interruption:
        dynamics = open_dynamics(start.topology, system, settings.run)
        describe_run(folder, settings, list_facts(settings, dynamics, forces.identify(settings.model)))
        parts = Parts(folder, settings, start, dynamics, on_progress)
        finished = begin_run(parts, interruption)
    return Outcome(folder.path, dynamics.step, finished)


@dataclass(frozen=True)
class Parts:
    """What a run consists of once its Context is open."""

    folder: RunFolder
    settings: Settings
    start: Start
    dynamics: Dynamics
    on_progress: OnProgress


def begin_run(parts: Parts, interruption: Interruption) -> bool:
    """Relax, draw velocities and run from step 0; whether the last step was reached.

    Files of an earlier beginning that came to no checkpoint are written anew.
    """
    _place_atoms(parts, interruption)
    if interruption.requested:  # a descent that was cut short is no start; resumed, it is done again
        return False
    _write_topology(parts)
    production = assemble(parts)
    production.begin()
    return production.run(interruption)


def find_output(settings: Settings) -> Path:
    """The run folder that the settings name, or runs/<name> in the current folder."""
    output = settings.run.output
    return (output if output is not None else Path("runs") / settings.system.name).resolve()


def resolve_settings(settings: Settings, record: CheckpointRecord) -> Settings:
    """The settings with what was left open decided: the friction that the model needs, and the run folder."""
    friction = settings.run.friction_per_ps or record.friction_per_ps
    return override_settings(settings, {"run": {"friction_per_ps": friction, "output": find_output(settings)}})


def assemble(parts: Parts, checkpoint: Checkpoint | None = None) -> Production:
    """The loop with its files open, new or after a checkpoint."""
    run, topology = parts.settings.run, parts.start.topology
    return Production(
        dynamics=parts.dynamics,
        guard=make_guard(parts.settings, parts.start, parts.dynamics.thermometer),
        reporters=open_reporters(parts.folder, run, topology, checkpoint),
        checkpoints=parts.folder.checkpoints,
        rescue=parts.folder.rescue,
        steps_per_checkpoint=run.steps_per_checkpoint,
        total_steps=run.total_steps,
        on_progress=parts.on_progress,
    )


def _place_atoms(parts: Parts, interruption: Interruption) -> None:
    """Positions, relaxed if wanted, and velocities: the start's own unless relaxing made them meaningless."""
    dynamics, start, run = parts.dynamics, parts.start, parts.settings.run
    context = dynamics.context
    if dynamics.periodic:
        context.setPeriodicBoxVectors(*start.topology.getPeriodicBoxVectors())
    context.setPositions(start.positions)
    if run.minimize:
        minimise(context, dynamics.thermometer, run.minimize_iterations, lambda: interruption.requested)
    if start.velocities is not None and not run.minimize:
        context.setVelocities(start.velocities)
    else:
        draw_velocities(dynamics, run)


def _write_topology(parts: Parts) -> None:
    positions = parts.dynamics.context.getState(positions=True).getPositions(asNumpy=True)
    text = io.StringIO()
    app.PDBFile.writeFile(parts.start.topology, positions.in_units_of(unit.nanometer), text, keepIds=True)
    write_durably(parts.folder.topology, text.getvalue().encode())
