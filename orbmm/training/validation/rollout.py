"""A rollout: short dynamics of a network from held-out frames, which the guard of a run watches.

A small force error does not make dynamics stable, so that a network is chosen by both.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.record_in_file import format_record
from orbmm.errors import TrainingError, UnstableRun
from orbmm.forces.attach import create_system
from orbmm.model.network.orb import Orb
from orbmm.model.network.repulsion import read_covalent_radii
from orbmm.settings import ModelSettings
from orbmm.settings.paths import OWN_NAME
from orbmm.settings.training import ValidationSettings
from orbmm.simulation.openmm_reporters.guard import StabilityGuard
from orbmm.simulation.system.integrators import derive_seed
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import Frame
from orbmm.training.parallel import map_over_processes
from orbmm.units import ANGSTROM_PER_NM

STABLE = "stable"
STEPS_BETWEEN_CHECKS = 10
STRETCH = 1.3
"""A pair is bonded up to so many times the sum of its covalent radii: 1.26 Å for O-H, which reaches 1.24 Å at 300 K."""


def choose_frames(frames: Sequence[Frame], settings: ValidationSettings) -> list[Frame]:
    """Return the held-out frames that dynamics start from: the calmest frame of each group, calmest first.

    A frame with a large label force, such as a compressed bond, would break a bond of a good network too.
    Raises TrainingError where no frame is held out.
    """
    if not settings.rollout_ps:
        return []
    if not frames:
        raise TrainingError("rollout_ps asks for dynamics from held-out frames, but none is held out: set it to 0")
    calm = sorted(frames, key=lambda frame: float(np.linalg.norm(frame.labels.forces, axis=1).max()))
    firsts = {frame.group: frame for frame in reversed(calm)}
    order = [frame for frame in calm if firsts[frame.group] is frame]
    return [*order, *(frame for frame in calm if firsts[frame.group] is not frame)][: settings.rollout_frames]


def roll_out(
    network: Orb, record: CheckpointRecord, frames: Sequence[Frame], settings: ValidationSettings, device: str = "cpu"
) -> str:
    """Return "stable", or the sentence of the guard on the first frame whose dynamics break."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        weights = Path(folder) / "rollout.safetensors"
        tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, weights, metadata=format_record(record, {}))
        ends = map_over_processes(lambda frame: _run(frame, record, weights, settings, device), frames)
    return next((end for end in ends if end != STABLE), STABLE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the messages of a run out of the table of the training."""
    log = logging.getLogger("orbmm.forces")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _run(frame: Frame, record: CheckpointRecord, weights: Path, settings: ValidationSettings, device: str) -> str:
    """Return "stable", or the sentence of the guard on the dynamics from one frame."""
    model = ModelSettings(
        name=OWN_NAME, weights=weights, device=device, compile=False, tune="skip", first_contact="skip"
    )
    if record.takes_charge:
        model = replace(model, charge=frame.charge, multiplicity=frame.multiplicity)
    topology = build_topology(frame, record)
    integrator = openmm.LangevinMiddleIntegrator(
        settings.rollout_temperature_kelvin * unit.kelvin,
        record.friction_per_ps / unit.picosecond,
        settings.rollout_timestep_fs * unit.femtosecond,
    )
    integrator.setRandomNumberSeed(derive_seed(1, "rollout"))
    platform = openmm.Platform.getPlatformByName("CPU")
    simulation = app.Simulation(topology, create_system(topology, model), integrator, platform)
    simulation.context.setPositions(frame.positions / ANGSTROM_PER_NM)
    simulation.context.setVelocitiesToTemperature(settings.rollout_temperature_kelvin, derive_seed(1, "velocities"))
    simulation.reporters.append(StabilityGuard(STEPS_BETWEEN_CHECKS))
    checks = round(1000.0 * settings.rollout_ps / settings.rollout_timestep_fs / STEPS_BETWEEN_CHECKS)
    try:
        simulation.step(STEPS_BETWEEN_CHECKS * max(1, checks))
    except UnstableRun as error:
        return f"{frame.source}: {error}"
    return STABLE


def build_topology(frame: Frame, record: CheckpointRecord) -> app.Topology:
    """Return the topology of a frame: one residue, with bonds by distance."""
    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    elements = [app.Element.getByAtomicNumber(int(number)) for number in frame.atomic_numbers]
    atoms = [topology.addAtom(f"{element.symbol}{i}", element, residue) for i, element in enumerate(elements)]
    for one, other in find_bonds(frame, record):
        topology.addBond(atoms[one], atoms[other])
    if frame.cell is not None:
        topology.setPeriodicBoxVectors(frame.cell / ANGSTROM_PER_NM * unit.nanometer)
    return topology


def find_bonds(frame: Frame, record: CheckpointRecord) -> np.ndarray:
    """Return the bonded pairs (B, 2), each once."""
    graph = prepare_frame(frame, record)
    ends = np.stack([graph.senders.numpy(), graph.receivers.numpy()], axis=1)  # (E, 2)
    reach = np.array(read_covalent_radii())[frame.atomic_numbers][ends].sum(axis=1)
    near = np.linalg.norm(graph.vectors.numpy(), axis=1) < STRETCH * reach
    return np.unique(ends[near & (ends[:, 0] < ends[:, 1])], axis=0)
