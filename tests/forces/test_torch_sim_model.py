"""A network inside TorchSim, by TorchSim's own validation and beside predict; skipped where TorchSim is absent."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from ase import Atoms
from oracles.random_weights import randomize_state_dict

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import find_record
from orbmm.errors import StructureError
from orbmm.model.load import load_model, make_network
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision

pytestmark = pytest.mark.extra

CPU = torch.device("cpu")
SMALL = Architecture(latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=2)
CELL = [[7.0, 0.0, 0.0], [1.0, 7.5, 0.0], [0.5, -0.4, 8.0]]
POSITIONS = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [2.8, 0.3, 0], [3.4, 1.0, 0.2], [3.2, -0.5, 0.3]]


@pytest.fixture
def torch_sim() -> ModuleType:
    return pytest.importorskip("torch_sim", reason="TorchSim needs Python 3.12")


def wrap(potential: Potential) -> object:
    """Return the potential as a model of TorchSim; the module cannot be imported without TorchSim."""
    from orbmm.forces.torch_sim_model import OrbTorchSimModel

    return OrbTorchSimModel(potential)


@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array:DeprecationWarning")  # by ASE
@pytest.mark.parametrize("name", ["orb-v3-conservative-inf-omat", "orb-v3-direct-20-omat"])
def test_torch_sim_accepts_it(name: str, torch_sim: ModuleType) -> None:
    from torch_sim.models.interface import validate_model_outputs

    record = find_record(name)
    record = replace(record, architecture=replace(SMALL, has_stress_head=record.kind == "direct"))
    network = make_network(record)
    network.load_state_dict(randomize_state_dict(network.state_dict(), seed=3, omol=False))
    precision = find_precision("float64")
    potential = Potential(record, network.to(torch.float64).eval().requires_grad_(False), "0" * 64, CPU, precision)
    validate_model_outputs(wrap(potential), CPU, torch.float64)


def test_it_gives_what_predict_gives(torch_sim: ModuleType) -> None:
    potential = load_model("orb-mini-conservative-inf-xtb", device="cpu", precision="float64")
    batch = [Atoms("OH2OH2", POSITIONS, cell=CELL, pbc=True), Atoms("H2O", POSITIONS[2::-1], cell=CELL, pbc=True)]
    state = torch_sim.io.atoms_to_state(batch, CPU, torch.float64)
    found = wrap(potential)(state)
    expected = [potential.predict(atoms.numbers, atoms.positions, np.array(atoms.cell)) for atoms in batch]
    np.testing.assert_allclose(found["energy"].numpy(), [each.energy for each in expected], rtol=1e-14)
    np.testing.assert_allclose(
        found["forces"].numpy(), np.concatenate([each.forces for each in expected]), rtol=0.0, atol=1e-12
    )
    for stress, each in zip(found["stress"].numpy(), expected, strict=True):
        np.testing.assert_allclose(stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], each.stress, rtol=0.0, atol=1e-14)
        np.testing.assert_array_equal(stress, stress.T)


def test_a_slab_is_refused(torch_sim: ModuleType) -> None:
    potential = load_model("orb-mini-conservative-inf-xtb", device="cpu", precision="float64")
    state = torch_sim.io.atoms_to_state(
        [Atoms("OH2OH2", POSITIONS, cell=CELL, pbc=(True, True, False))], CPU, torch.float64
    )
    with pytest.raises(StructureError, match="all axes or none"):
        wrap(potential)(state)
