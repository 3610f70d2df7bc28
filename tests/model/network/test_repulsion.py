"""The ZBL repulsion against its closed formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS, Structure
from oracles.zbl import COVALENT_RADII, evaluate_molecule, evaluate_pair

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.repulsion import PairRepulsion, read_covalent_radii

PUBLISHED = Oddities()
SMALL = Architecture(latent_dim=16, mlp_hidden_dim=16, head_hidden_dim=16, layers=1)
CLOSE = 1e-12  # float64 rounding of a formula of a dozen operations, with room


def make_complete_graph(structure: Structure) -> AtomGraph:
    """All pairs of a molecule in both directions."""
    atoms = len(structure)
    positions = torch.from_numpy(structure.positions)
    senders, receivers = torch.where(~torch.eye(atoms, dtype=torch.bool))
    return AtomGraph(
        atomic_numbers=torch.from_numpy(structure.atomic_numbers),
        positions=positions,
        senders=senders,
        receivers=receivers,
        vectors=positions[receivers] - positions[senders],
        system=torch.zeros(atoms, dtype=torch.int64),
        counts=torch.tensor([atoms]),
    )


def make_pair(first: int, second: int, distance: float) -> Structure:
    return Structure("pair", np.array([first, second]), np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]]))


def evaluate(structure: Structure, oddities: Oddities = PUBLISHED) -> float:
    graph = make_complete_graph(structure)
    return PairRepulsion(oddities)(graph, graph.vectors).item()


@pytest.mark.parametrize("pair", [(1, 1), (6, 8), (8, 1), (12, 8), (30, 30)])
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.9, 0.999])
def test_a_pair_repels_by_the_closed_formula(pair: tuple[int, int], fraction: float) -> None:
    reach = COVALENT_RADII[pair[0] + 1] + COVALENT_RADII[pair[1] + 1]
    expected = evaluate_pair(*pair, fraction * reach)
    assert expected > 0
    # Near the end of the reach the envelope is a small difference of numbers up to 48.
    assert evaluate(make_pair(*pair, fraction * reach)) == pytest.approx(
        expected, rel=CLOSE, abs=1e-13 * expected / CLOSE
    )


def test_a_pair_beyond_its_reach_does_not_repel() -> None:
    assert evaluate(make_pair(6, 8, 0.71 + 0.57 + 1e-9)) == 0.0


def test_a_molecule_repels_by_the_sum_over_its_pairs() -> None:
    structure = MAKERS["molecule"]()
    expected = evaluate_molecule(structure.atomic_numbers, structure.positions)
    assert expected > 0.1
    assert evaluate(structure) == pytest.approx(expected, rel=CLOSE)


def test_the_true_atomic_number_gives_another_repulsion() -> None:
    structure = MAKERS["molecule"]()
    expected = evaluate_molecule(structure.atomic_numbers, structure.positions, offset=0)
    assert evaluate(structure, replace(PUBLISHED, zbl_number_offset=0)) == pytest.approx(expected, rel=CLOSE)
    assert evaluate(structure) != pytest.approx(expected, rel=0.01)


def test_the_mean_is_the_sum_divided_by_the_atoms() -> None:
    structure = MAKERS["molecule"]()
    mean = evaluate(structure, replace(PUBLISHED, zbl_aggregation="mean"))
    assert mean == pytest.approx(evaluate(structure) / len(structure), rel=CLOSE)


def test_the_covalent_radii_are_those_of_the_source() -> None:
    radii = read_covalent_radii()
    assert {number: radii[number] for number in COVALENT_RADII} == COVALENT_RADII


def test_the_covalent_radii_are_those_of_ase() -> None:
    data = pytest.importorskip("ase.data", reason="ASE comes with orb-models, which is not installed")
    np.testing.assert_array_equal(read_covalent_radii(), data.covalent_radii)


def test_forces_of_a_direct_model_gain_the_exact_gradient_of_the_repulsion() -> None:
    """Two direct models that differ in nothing but the repulsion: their forces differ by its central differences."""
    structure = MAKERS["molecule"]()
    ones, zeros = (
        make_random_potential(
            "orb-v3-direct-inf-omat", architecture=SMALL, oddities=replace(PUBLISHED, zbl_number_offset=offset)
        ).predict(structure.atomic_numbers, structure.positions)
        for offset in (1, 0)
    )
    difference = ones.forces - zeros.forces
    np.testing.assert_allclose(difference, differentiate(structure, 1) - differentiate(structure, 0), atol=1e-7)
    assert np.abs(difference).max() > 1.0


def differentiate(structure: Structure, offset: int, step: float = 1e-5) -> np.ndarray:
    """Forces of the closed formula by central differences, (N, 3) [eV/Å]."""
    forces = np.zeros_like(structure.positions)
    for place in np.ndindex(*forces.shape):
        moved = np.zeros_like(forces)
        moved[place] = step
        ahead, behind = (
            evaluate_molecule(structure.atomic_numbers, structure.positions + sign * moved, offset) for sign in (1, -1)
        )
        forces[place] = (behind - ahead) / (2 * step)
    return forces
