"""Settings -> run folder: the whole way from a structure to the last step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openmm import app, unit

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.settings import RunSettings, Settings, override_settings
from orbmm.simulation.checkpoint import Checkpoint
from orbmm.simulation.dynamics import Dynamics
from orbmm.simulation.folder import RunFolder, claim_folder, describe_run, explain_disk_errors
from orbmm.simulation.forces import ForceSource, NetworkForces
from orbmm.simulation.guard import make_guard
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
    """Where a run lies and how far it came; finished is False after a signal."""

    folder: Path
    step: int
    finished: bool


def start_run(
    settings: Settings, on_progress: OnProgress = ignore_progress, forces: ForceSource | None = None
) -> Outcome:
    """Run a system from its structure to its full length; the result depends on settings and seed alone.

    forces: where the System comes from; the network of the settings unless given
    Raises RunError for a missing file or a run folder in use, UnstableRun if the dynamics goes wrong.
    """
    forces = forces if forces is not None else NetworkForces()
    record = find_record(settings.model.name)
    settings = resolve_settings(settings, record)
    start = read_start(settings.system)
    warn_untrained(start.topology, record)
    system = forces.create_system(start.topology, settings.model)
    path = find_output(settings)
    with explain_disk_errors(path):
        folder = claim_folder(path)
        dynamics = open_dynamics(start.topology, system, settings.run)
        _place_atoms(dynamics, start, settings.run)
        describe_run(folder, settings, list_facts(settings, dynamics, forces.identify(settings.model)))
        _write_topology(folder, dynamics, start.topology)
        production = assemble(folder, settings.run, start.topology, dynamics, on_progress)
        production.begin()
        finished = production.run()
    return Outcome(folder.path, dynamics.step, finished)


def find_output(settings: Settings) -> Path:
    """The run folder that the settings name, or runs/<name> in the current folder."""
    output = settings.run.output
    return (output if output is not None else Path("runs") / settings.system.name).resolve()


def resolve_settings(settings: Settings, record: CheckpointRecord) -> Settings:
    """The settings with what was left open decided: the friction that the model needs, and the run folder."""
    friction = settings.run.friction_per_ps or record.friction_per_ps
    return override_settings(settings, {"run": {"friction_per_ps": friction, "output": find_output(settings)}})


def assemble(
    folder: RunFolder,
    run: RunSettings,
    topology: app.Topology,
    dynamics: Dynamics,
    on_progress: OnProgress,
    checkpoint: Checkpoint | None = None,
) -> Production:
    """The loop with its files open, new or after a checkpoint."""
    return Production(
        dynamics=dynamics,
        guard=make_guard(topology, run.temperature_kelvin),
        reporters=open_reporters(folder, run, topology, checkpoint),
        checkpoints=folder.checkpoints,
        steps_per_checkpoint=run.steps_per_checkpoint,
        total_steps=run.total_steps,
        on_progress=on_progress,
    )


def _place_atoms(dynamics: Dynamics, start: Start, run: RunSettings) -> None:
    """Positions, relaxed if wanted, and velocities: the start's own unless relaxing made them meaningless."""
    context = dynamics.context
    if dynamics.periodic:
        context.setPeriodicBoxVectors(*start.topology.getPeriodicBoxVectors())
    context.setPositions(start.positions)
    if run.minimize:
        minimise(context, dynamics.thermometer, run.minimize_iterations)
    if start.velocities is not None and not run.minimize:
        context.setVelocities(start.velocities)
    else:
        draw_velocities(dynamics, run)


def _write_topology(folder: RunFolder, dynamics: Dynamics, topology: app.Topology) -> None:
    positions = dynamics.context.getState(positions=True).getPositions(asNumpy=True)
    with folder.topology.open("w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(topology, positions.in_units_of(unit.nanometer), stream, keepIds=True)
