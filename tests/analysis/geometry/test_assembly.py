"""Molecules laid beside each other, against a search over all pairs of atoms and all images."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import DODECAHEDRON, SKEWED, add_box, wrap
from numpy.typing import NDArray

from orbmm.analysis import compute_rmsd
from orbmm.analysis.geometry.assembly import place_molecules
from orbmm.analysis.geometry.images import find_large_molecules, find_molecules, label_molecules, make_molecules_whole
from orbmm.geometry import compute_deviation

LONG = np.diag([1.5, 1.6, 14.0])
BOXES = {"cube": np.eye(3) * 4.0, "dodecahedron": 2.5 * DODECAHEDRON, "skewed": 2.5 * SKEWED, "long": LONG}


def search_tree(positions: NDArray, box: NDArray, owner: NDArray) -> NDArray:
    """Return the shifts by Prim's algorithm over all pairs of atoms and 125 images."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3) @ box
    count = int(owner.max()) + 1
    shifts, placed = np.zeros((count, 3)), [0]
    while len(placed) < count:
        best = (np.inf, 0, np.zeros(3))
        for parent in placed:
            for child in set(range(count)) - set(placed):
                apart = positions[owner == child][:, None] - positions[owner == parent][None]
                lengths = np.linalg.norm(apart[:, :, None] + steps, axis=3)
                best = min(best, (lengths.min(), child, shifts[parent] + steps[lengths.min(axis=(0, 1)).argmin()]),
                           key=lambda each: each[0])  # fmt: skip
        shifts[best[1]] = best[2]
        placed.append(best[1])
    return shifts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_shifts_are_those_of_the_shortest_tree(box: NDArray, seed: int) -> None:
    """The molecules are small beside their distances, so that thinned-out atoms choose the same image."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(5), 6)
    centers = rng.random((5, 3)) @ box + rng.integers(-2, 3, size=(5, 3)) @ box
    positions = centers[owner] + 0.02 * rng.normal(size=(30, 3))
    shifts = place_molecules(positions, box, owner)
    np.testing.assert_allclose(shifts, np.round(shifts @ np.linalg.inv(box)) @ box, atol=1e-9)
    inside = wrap(centers, box)[owner] + positions - centers[owner]  # so that 125 images are enough
    expected = search_tree(inside, box, owner) + (wrap(centers, box) - centers)
    expected -= expected[0]
    if box is not LONG:  # there the centres decide, since no cutoff may exceed the smallest width
        np.testing.assert_allclose(shifts, expected, atol=1e-6)
    span = [np.ptp(positions + move[owner], axis=0).max() for move in (shifts, expected)]
    assert span[0] <= span[1] + 0.5 * np.linalg.norm(box, axis=1).max()


def build_chains(count: int, box: NDArray) -> md.Trajectory:
    helix = grow_backbone(-57.0, -47.0, residues=8)
    topology = md.Topology()
    for _ in range(count):
        topology = helix.topology.copy() if topology.n_atoms == 0 else topology.join(helix.topology)
    shape = helix.xyz[0] - helix.xyz[0].mean(axis=0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:count] @ (box / 3.0)
    return add_box(md.Trajectory((shape + grid[:, None]).reshape(1, -1, 3), topology), box)


@pytest.mark.parametrize("count", [1, 2, 7, 27])
def test_many_chains_are_arranged_as_mdtraj_arranges_them(count: int) -> None:
    box = np.eye(3) * 4.2
    chains = build_chains(count, box)
    rng = np.random.default_rng(count)
    moved = np.concatenate([chains.xyz + 0.01 * rng.normal(size=chains.xyz.shape) + move for move in (0.0, 1.3, 2.6)])
    torn = add_box(md.Trajectory(wrap(moved, box), chains.topology), box)
    ours = make_molecules_whole(torn)
    theirs = torn.image_molecules(anchor_molecules=torn.topology.find_molecules(), other_molecules=[])
    pairs = np.array([(i * 32, j * 32) for i in range(count) for j in range(i)]).reshape(-1, 2)
    for whole in (ours, theirs):
        bonds = [(first.index, second.index) for first, second in whole.topology.bonds]
        assert md.compute_distances(whole, bonds, periodic=False).max() < 0.2
    if count <= 2:  # with more there are many trees of almost the same length
        np.testing.assert_allclose(
            md.compute_distances(ours, pairs, periodic=False),
            md.compute_distances(theirs, pairs, periodic=False),
            atol=1e-4,
        )
    np.testing.assert_allclose(ours.xyz.mean(axis=1), np.tile(np.diag(box) / 2.0, (3, 1)), atol=1e-4)


def test_chains_between_equally_near_images_are_laid_alike_in_every_frame() -> None:
    """In a lattice of chains the nearest image changes from frame to frame, but the shape stays that of the start."""
    box = np.eye(3) * 4.2
    chains = build_chains(27, box)
    rng = np.random.default_rng(1)
    frames = chains.xyz + 0.01 * rng.normal(size=(6, chains.n_atoms, 3))
    moving = add_box(md.Trajectory(wrap(frames, box), chains.topology), box)
    assert compute_rmsd(moving, chains).number("heavy_atoms_largest") < 0.3
    alone = [make_molecules_whole(frame).xyz[0] for frame in moving]  # the control: each frame by itself
    assert max(compute_deviation(np.array(alone), make_molecules_whole(chains).xyz[0])) > 1.0


def test_labels_are_the_molecules_of_the_topology() -> None:
    chains = build_chains(3, np.eye(3) * 4.0)
    assert label_molecules(chains.topology).tolist() == [0] * 32 + [1] * 32 + [2] * 32
    assert [len(atoms) for atoms in find_molecules(chains.topology)] == [32, 32, 32]
    assert len(find_large_molecules(chains.topology)) == 96 and find_molecules(md.Topology()) == []
