"""Run a list of stages. Each starts from the last state of the stage before."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.errors import RunError
from orbmm.forces.dispersion_group import DispersionMeter
from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.run_files.confidence import read_first_mean
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings
from orbmm.simulation.advice import explain_memory_errors
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.dynamics.frame import State, start_state
from orbmm.simulation.dynamics.minimise import minimise
from orbmm.simulation.folder.checkpoint import Checkpoint, drop_later, load_checkpoint
from orbmm.simulation.folder.content import ContentHashes
from orbmm.simulation.force_source import ConfidenceSource, RotationSource
from orbmm.simulation.guard.guard import make_guard
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.loop import Loop
from orbmm.simulation.progress import OnProgress
from orbmm.simulation.reporters.files import RunFiles
from orbmm.simulation.reporters.growing import GrowingFiles
from orbmm.simulation.reporters.rmsd import RmsdMeter
from orbmm.simulation.reporters.topology import write_topologies
from orbmm.simulation.schedule import PlannedStage, plan_stages
from orbmm.simulation.start.selection import select_atoms
from orbmm.simulation.system.integrators import derive_seed, set_bath
from orbmm.simulation.system.stage_system import StageSystem


@dataclass(frozen=True)
class Run:
    """The parts of a run that are the same for all stages. hashes: of its growing files, as far as they are known"""

    folder: RunFolder
    settings: Settings
    system: StageSystem
    confidence: ConfidenceSource | None
    rotation: RotationSource | None
    dispersion: DispersionMeter | None
    on_progress: OnProgress
    hashes: ContentHashes


@dataclass(frozen=True)
class Reached:
    """The last stage of a run and its last step, counted in the phase. complete: the stage has ended"""

    planned: PlannedStage
    step: int
    complete: bool


def run_stages(run: Run, interruption: Interruption, checkpoint: Checkpoint | None = None) -> Reached:
    """Perform all stages, or those from a checkpoint on, to the end or until the run is interrupted."""
    with explain_memory_errors(run.folder, run.settings.model):
        return _perform_stages(run, interruption, checkpoint)


def _perform_stages(run: Run, interruption: Interruption, checkpoint: Checkpoint | None) -> Reached:
    plan = plan_stages(run.settings)
    state = start_state(run.system.start, run.system.masses)
    for planned in plan if checkpoint is None else plan[find_stage(plan, checkpoint).number :]:
        if planned.stage.moves:
            state, reached = _move(run, planned, state, interruption, checkpoint)
        else:
            state, reached = _relax(run, planned, state, interruption)
        checkpoint = None
        if not reached.complete:
            break
    return reached


def find_stage(plan: tuple[PlannedStage, ...], checkpoint: Checkpoint) -> PlannedStage:
    """Return the stage in which a checkpoint was written.

    Raises RunError if the run has no such stage, or if phase or step of the checkpoint do not belong to it.
    """
    number = checkpoint.index.stage
    planned = plan[-1] if number is None else plan[number] if number < len(plan) else None
    if planned is None or planned.phase != checkpoint.folder.phase or checkpoint.step < planned.first_step:
        raise RunError(
            f"{checkpoint.folder.path} is of no stage of this run (stage {number}, step {checkpoint.step}); "
            "restore the run folder from a copy"
        )
    if checkpoint.step > planned.phase_steps:
        raise RunError(
            f"{checkpoint.folder.path} is of step {checkpoint.step}, but {planned.phase} ends at step "
            f"{planned.phase_steps}; set the former length of the run again"
        )
    return planned


def _relax(run: Run, planned: PlannedStage, state: State, interruption: Interruption) -> tuple[State, Reached]:
    dynamics = run.system.open(planned, planned.first_step)
    dynamics.place(state, velocity_seed=1)
    with dynamics.translate_errors():
        relaxation = minimise(
            dynamics.context, dynamics.thermometer, planned.stage.iterations, lambda: interruption.requested
        )
    # An interrupted minimisation is not used; the resumed run repeats it. One that has ended is used even if the run
    # should end now: the next stage writes a checkpoint before it looks for that.
    return dynamics.read_state(), Reached(planned, planned.first_step, relaxation.finished)


def _move(
    run: Run, planned: PlannedStage, state: State, interruption: Interruption, checkpoint: Checkpoint | None
) -> tuple[State, Reached]:
    dynamics = run.system.open(planned, planned.first_step if checkpoint is None else checkpoint.step)
    if checkpoint is None:
        _place(run, planned, dynamics, state)
    else:
        load_checkpoint(checkpoint, dynamics.context)
        set_bath(dynamics.context, planned.stage)
        drop_later(checkpoint)
    loop = _assemble(run, planned, dynamics, checkpoint)
    if checkpoint is None and planned.begins_phase:
        loop.begin()
    complete = loop.run(interruption)
    return dynamics.read_state(), Reached(planned, dynamics.step, complete)


def _place(run: Run, planned: PlannedStage, dynamics: Dynamics, state: State) -> None:
    """Set the state of the stage before. A new phase starts at time 0, and its topology files are written."""
    if planned.begins_phase:
        state = state.restarted()
    purpose = "velocities" if planned.phase == PRODUCTION else f"velocities of {planned.phase}"
    dynamics.place(state, derive_seed(run.settings.run.seed, purpose, planned.first_step))
    if planned.begins_phase:
        write_topologies(run.folder, run.system.start.topology, run.settings.run.frame_atoms, dynamics.read_state())


def _assemble(run: Run, planned: PlannedStage, dynamics: Dynamics, checkpoint: Checkpoint | None) -> Loop:
    """Build the loop of a stage and open its files: new files for a new phase, else the existing ones."""
    start, settings = run.system.start, run.settings.run
    mean_error = None
    if checkpoint is not None or not planned.begins_phase:
        mean_error = read_first_mean(run.folder.confidence, start.topology.getNumAtoms())
    edges = None if run.confidence is None else run.confidence.bin_edges
    rmsd = None
    if settings.show_rmsd is not None:
        rmsd = RmsdMeter(start.positions, select_atoms(start.topology, settings.show_rmsd))
    run_files = RunFiles(run.folder, run.settings, start, edges, run.rotation is not None)
    return Loop(
        dynamics=dynamics,
        planned=planned,
        guard=make_guard(run.settings.guard, start, dynamics, mean_error),
        files=GrowingFiles(run_files.open(planned, checkpoint), run.hashes),
        folder=run.folder,
        steps_per_checkpoint=settings.count_steps("checkpoint_every_ps", planned.stage.timestep_fs),
        on_progress=run.on_progress,
        confidence=run.confidence,
        rmsd=rmsd,
        rotation=run.rotation,
        dispersion=run.dispersion,
    )
