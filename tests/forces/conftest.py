"""Small boxes of water, small networks with random weights, and every force kind that can run here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from safetensors.torch import save_file

from orbmm.checkpoints.catalog import find_record
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.model.load import make_network

KINDS = ("TorchForce", "PythonForce")
WATER_NM = np.array([[0.0, 0.0, 0.0], [0.0957, 0.0, 0.0], [-0.024, 0.0927, 0.0]])
SPACING_NM = 0.31
SEED = 5
BOXES_NM = {
    "open": None,
    "cube": np.eye(3) * 0.62,
    "sheared": np.array([[0.62, 0, 0], [0.21, 0.60, 0], [-0.17, 0.24, 0.66]]),
    "dodecahedron": np.array([[0.72, 0, 0], [0, 0.72, 0], [0.36, 0.36, 0.72 * 0.5**0.5]]),
}


@dataclass(frozen=True)
class Water:
    """A few water molecules. positions: (N, 3) [nm]; box: (3, 3) [nm] or None."""

    topology: app.Topology
    positions: np.ndarray
    box: np.ndarray | None

    @property
    def atomic_numbers(self) -> list[int]:
        return [atom.element.atomic_number for atom in self.topology.atoms()]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """A weights cache of our own, so that no test sees or changes the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORBMM_CACHE", str(folder))
        yield folder
    forget_evaluators()


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a weights file of a catalogue model with random numbers in it, once for each name."""
    folder = tmp_path_factory.mktemp("weights")

    def write(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(SEED)  # the same weights whichever tests ran before
                tensors = make_network(find_record(name)).state_dict()
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        return path

    return write


@pytest.fixture(scope="session")
def make_water() -> Callable[..., Water]:
    """Builds eight (or other) waters with slightly random coordinates in one of the boxes of BOXES_NM."""

    def make(box: str = "cube", molecules: int = 8, seed: int = 0) -> Water:
        topology = app.Topology()
        chain = topology.addChain()
        for _ in range(molecules):
            residue = topology.addResidue("HOH", chain)
            oxygen, first, second = (
                topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
            )
            topology.addBond(oxygen, first)
            topology.addBond(oxygen, second)
        sites = [np.array([i % 2, i // 2 % 2, i // 4]) * SPACING_NM for i in range(molecules)]
        positions = np.concatenate([site + WATER_NM for site in sites])
        positions += np.random.default_rng(seed).normal(0, 0.003, positions.shape)
        if BOXES_NM[box] is not None:
            topology.setPeriodicBoxVectors(BOXES_NM[box] * unit.nanometer)
        return Water(topology, positions, BOXES_NM[box])

    return make


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, require_force_kind: Callable[[str], str]) -> str:
    """Each force kind that can run here."""
    return require_force_kind(request.param)


@pytest.fixture
def compute() -> Callable[..., tuple[float, np.ndarray]]:
    """Energy [kJ/mol] and forces (N, 3) [kJ/mol/nm] of a System in a Context of its own."""

    def run(system: openmm.System, positions: np.ndarray, platform: str = "Reference", **parameters: float):
        integrator = openmm.VerletIntegrator(0.001)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
        context.setPositions(positions)
        for name, value in parameters.items():
            context.setParameter(name, value)
        state = context.getState(energy=True, forces=True)
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        return energy, np.array(forces)

    return run
