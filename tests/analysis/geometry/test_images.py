"""Molecules torn apart by the periodic box are matched, in any box."""

from __future__ import annotations

import itertools

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import CUBE, DODECAHEDRON, SKEWED, Jiggle, add_box, make_box, make_trajectory, wrap
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import find_large_molecules, find_molecules, make_molecules_whole, make_whole

BOXES = {"cube": CUBE, "rhombic dodecahedron": DODECAHEDRON, "skewed": SKEWED}


def list_bonds(topology: md.Topology) -> NDArray[np.int64]:
    return np.array([(a.index, b.index) for a, b in topology.bonds])


def search_nearest_images(xyz: NDArray[np.float64], box: NDArray[np.float64], pairs: NDArray) -> NDArray[np.float64]:
    """Distances over all 125 images around, in float64."""
    steps = np.arange(-2, 3)
    shifts = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3) @ box
    return np.linalg.norm((xyz[pairs[:, 1]] - xyz[pairs[:, 0]])[:, None] + shifts, axis=2).min(axis=1)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_bonds_have_their_true_length_after_mending(box: NDArray[np.float64]) -> None:
    torn = make_trajectory(Jiggle(frames=6, box=box))
    bonds = list_bonds(torn.topology)
    straight = md.compute_distances(make_molecules_whole(torn), bonds, periodic=False)
    expected = [search_nearest_images(frame.astype(float), box, bonds) for frame in torn.xyz]
    np.testing.assert_allclose(straight, expected, atol=1e-5)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_the_unmended_trajectory_has_torn_bonds(box: NDArray[np.float64]) -> None:
    torn = make_trajectory(Jiggle(frames=6, box=box))
    assert md.compute_distances(torn, list_bonds(torn.topology), periodic=False).max() > 0.5


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_no_distance_between_nearest_images_changes(box: NDArray[np.float64]) -> None:
    torn = make_trajectory(Jiggle(frames=3, box=box))
    pairs = np.random.default_rng(0).choice(torn.n_atoms, (300, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    matched = make_molecules_whole(torn).xyz[2].astype(float)
    expected = search_nearest_images(torn.xyz[2].astype(float), box, pairs)
    np.testing.assert_allclose(search_nearest_images(matched, box, pairs), expected, atol=1e-5)


def test_the_solute_rests_in_the_same_place_in_every_frame() -> None:
    torn = make_trajectory(Jiggle(frames=20))
    solute = find_large_molecules(torn.topology)
    centres = make_molecules_whole(torn).xyz[:, solute].mean(axis=1)
    assert np.ptp(centres, axis=0).max() < 0.01
    assert np.ptp(torn.xyz[:, solute].mean(axis=1), axis=0).max() > 0.1


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_solute_made_whole_has_the_shape_that_mending_gives(box: NDArray[np.float64]) -> None:
    torn = make_trajectory(Jiggle(frames=6, box=box))
    solute = torn.atom_slice(find_large_molecules(torn.topology))
    before = solute.xyz.copy()
    pairs = np.stack(np.triu_indices(solute.n_atoms, 1), axis=1)
    shapes = [
        md.compute_distances(whole, pairs, periodic=False)
        for whole in (make_whole(solute), make_molecules_whole(solute))
    ]
    np.testing.assert_allclose(shapes[0], shapes[1], atol=1e-5)
    np.testing.assert_array_equal(solute.xyz, before)


def test_one_torn_frame_among_whole_ones_is_mended_and_whole_ones_are_passed_on() -> None:
    torn = make_trajectory(Jiggle(frames=20))
    solute = torn.atom_slice(find_large_molecules(torn.topology))
    whole = make_whole(solute)
    assert make_whole(whole) is whole
    rest = whole[:]
    rest.xyz[7] = solute.xyz[next(frame for frame in range(20) if np.ptp(solute.xyz[frame], axis=0).max() > 1.0)]
    bonds = [(first.index, second.index) for first, second in rest.topology.bonds]
    assert md.compute_distances(rest[7], bonds, periodic=False).max() > 1.0
    assert md.compute_distances(make_whole(rest)[7], bonds, periodic=False).max() < 0.2


def test_two_chains_stay_beside_each_other() -> None:
    """The second copy of the peptide lies 0.5 nm beside the first; matched, it does so in every frame."""
    single = make_box(0, SKEWED)
    moved = md.Trajectory(single.xyz + [[0.0, 0.0, 0.5]], single.topology)
    both = md.Trajectory(np.concatenate([single.xyz, moved.xyz], axis=1), single.topology.join(moved.topology))
    path = np.linspace(0.0, 3.0, 12)[:, None, None] * np.array([1.0, 0.7, 0.4])
    torn = add_box(md.Trajectory(wrap(both.xyz + path, SKEWED), both.topology), SKEWED)
    matched = make_molecules_whole(torn)
    pairs = torn.topology.select_pairs(range(44), range(44))
    straight = md.compute_distances(matched, pairs, periodic=False)
    np.testing.assert_allclose(straight, np.repeat(md.compute_distances(both, pairs), 12, axis=0), atol=1e-4)


def build_peptide_with_ligand(residues: int) -> md.Topology:
    """A capped peptide of 22 atoms, and beside it a chain of 9 carbons in so many residues."""
    topology = make_trajectory(Jiggle(frames=1)).topology.subset(range(22))
    chain = topology.add_chain()
    parts = [topology.add_residue("LIG", chain) for _ in range(residues)]
    carbons = [topology.add_atom("C", md.element.carbon, parts[index * residues // 9]) for index in range(9)]
    for pair in itertools.pairwise(carbons):
        topology.add_bond(*pair)
    return topology


def test_a_ligand_beside_a_short_peptide_is_no_part_of_its_shape() -> None:
    assert find_large_molecules(build_peptide_with_ligand(residues=1)).tolist() == list(range(22))
    assert len(find_large_molecules(build_peptide_with_ligand(residues=3))) == 31  # another chain is


def test_pure_water_is_made_whole() -> None:
    water = make_trajectory(Jiggle(frames=3)).atom_slice(range(22, 22 + 60 * 3))
    assert len(find_large_molecules(water.topology)) == 0
    assert md.compute_distances(make_molecules_whole(water), list_bonds(water.topology), periodic=False).max() < 0.12


def test_without_a_box_nothing_moves() -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    trajectory.unitcell_vectors = None
    np.testing.assert_array_equal(make_molecules_whole(trajectory).xyz, trajectory.xyz)


def test_the_solute_is_the_peptide_and_neither_water_nor_ions() -> None:
    topology = make_box(5).topology
    for name, symbol in (("NA", "Na"), ("ZN", "Zn")):
        topology.add_atom(name, md.element.get_by_symbol(symbol), topology.add_residue(name, topology.chain(1)))
    np.testing.assert_array_equal(find_large_molecules(topology), np.arange(22))
    assert len(find_molecules(topology)) == 1 + 5 + 2
