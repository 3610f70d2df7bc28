"""The structures are what their names promise; the comparisons rest on that."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.structures import MAKERS, Structure
from oracles.zbl import evaluate_molecule

CUTOFF = 6.0  # [Å]


def sort_distances(structure: Structure) -> list[np.ndarray]:
    """For each atom the distances of its neighbours up to 7 Å, images included, in order [Å]."""
    images = np.zeros((1, 3))
    if structure.cell is not None:
        images = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), axis=-1).reshape(-1, 3) @ structure.cell
    found = []
    for position in structure.positions:
        distances = np.linalg.norm(structure.positions[None] - position + images[:, None], axis=-1).ravel()
        found.append(np.sort(distances[(distances > 1e-9) & (distances < CUTOFF + 1.0)]))
    return found


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("cap", [20, 120])
def test_which_neighbors_are_the_nearest_is_never_a_matter_of_rounding(name: str, cap: int) -> None:
    for distances in sort_distances(MAKERS[name]()):
        if (distances < CUTOFF).sum() > cap:
            assert distances[cap] - distances[cap - 1] > 1e-4


def test_the_dense_crystal_has_more_neighbors_than_any_cap() -> None:
    assert min((distances < CUTOFF).sum() for distances in sort_distances(MAKERS["dense_crystal"]())) > 120


def test_no_atoms_overlap() -> None:
    assert min(distances[0] for make in MAKERS.values() for distances in sort_distances(make())) > 0.7


def test_the_molecule_is_squeezed_into_its_repulsion() -> None:
    molecule = MAKERS["molecule"]()
    assert evaluate_molecule(molecule.atomic_numbers, molecule.positions) > 1.0


def test_far_away_means_each_atom_in_a_cell_of_its_own() -> None:
    cells = (MAKERS["water_far_away"]().positions - MAKERS["water_sheared"]().positions) @ np.linalg.inv(
        MAKERS["water_sheared"]().cell
    )
    np.testing.assert_allclose(cells, cells.round(), atol=1e-9)
    assert np.abs(cells).max() > 3
