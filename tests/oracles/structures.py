"""Structures for comparisons with other implementations: small, always the same, no equal distances at the cap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

WATER_GEOMETRY = np.array([[0.0, 0.0, 0.0], [0.9572, 0.0, 0.0], [-0.2399872, 0.9266272, 0.0]])  # [Å], O H H
ATOMIC_NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8}


@dataclass(frozen=True)
class Structure:
    """Atoms in a cell, or in no cell.

    atomic_numbers: (N,), positions: (N, 3) [Å], cell: (3, 3) rows [Å] or None
    """

    name: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.atomic_numbers)

    def permuted(self, order: np.ndarray) -> Structure:
        """The same atoms in another order."""
        return replace(self, atomic_numbers=self.atomic_numbers[order], positions=self.positions[order])

    def shifted(self, cells: np.ndarray) -> Structure:
        """Each atom moved by whole lattice vectors; cells: (N, 3) or (3,) integers."""
        return replace(self, positions=self.positions + cells @ self.cell)


def make_molecule(scale: float = 0.75) -> Structure:
    """Ethanol, squeezed so that its bonds lie inside the ZBL repulsion: without that the repulsion would be zero."""
    atomic_numbers = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
    positions = np.array(
        [
            [1.168, -0.391, 0.012],
            [-0.039, 0.553, -0.021],
            [-1.190, -0.269, 0.043],
            [2.090, 0.191, -0.037],
            [1.137, -1.077, -0.839],
            [1.171, -0.980, 0.935],
            [0.012, 1.244, 0.829],
            [-0.021, 1.138, -0.949],
            [-1.960, 0.303, -0.014],
        ]
    )
    return Structure("molecule", atomic_numbers, positions * scale)


def make_two_atom_cell() -> Structure:
    """Magnesium oxide, compressed and strained until triclinic; its lattice vectors are shorter than the cutoff."""
    rock_salt = 0.5 * 3.9 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    strain = np.eye(3) + np.array([[0.03, 0.05, -0.02], [0.00, -0.04, 0.07], [0.01, 0.00, 0.06]])
    positions = np.array([[0.1, 0.2, -0.1], [2.15, 1.83, 1.96]])
    return Structure("two_atom_cell", np.array([12, 8]), positions, rock_salt @ strain)


def make_dense_crystal(seed: int = 7) -> Structure:
    """Diamond with a boron, a nitrogen and random displacements: about 160 neighbours within 6 Å."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    fractions = np.concatenate([corners, corners + 0.25])
    positions = 3.567 * fractions + rng.normal(scale=0.08, size=(8, 3))
    return Structure("dense_crystal", np.array([6, 6, 5, 6, 6, 7, 6, 6]), positions, 3.567 * np.eye(3))


def make_water(name: str, cell: np.ndarray, molecules: int, seed: int) -> Structure:
    """Up to eight waters near the points of a 2 x 2 x 2 grid in the cell, randomly displaced and turned."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[0.25, 0.75]] * 3), axis=-1).reshape(-1, 3)[:molecules]
    waters = [WATER_GEOMETRY @ _draw_rotation(rng).T + point @ cell + rng.normal(scale=0.15, size=3) for point in grid]
    return Structure(name, np.tile([8, 1, 1], molecules), np.concatenate(waters), cell)


def make_water_cube() -> Structure:
    """Water at its liquid density in the smallest cube that is longer than the cutoff."""
    return make_water("water_cube", 6.3 * np.eye(3), molecules=8, seed=1)


def make_water_sheared() -> Structure:
    """Water in a cell sheared by more than a third of its edges, in OpenMM's reduced form."""
    cell = np.array([[8.6, 0.0, 0.0], [3.1, 7.9, 0.0], [-2.7, 3.3, 8.1]])
    return make_water("water_sheared", cell, molecules=7, seed=2)


def make_water_dodecahedron() -> Structure:
    """Water in a rhombic dodecahedron, in OpenMM's reduced form."""
    cell = 8.6 * np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, np.sqrt(0.5)]])
    return make_water("water_dodecahedron", cell, molecules=7, seed=3)


def make_water_far_away() -> Structure:
    """The sheared water box, each atom moved several cells away: what a long unwrapped trajectory looks like."""
    structure = make_water_sheared()
    cells = np.random.default_rng(4).integers(-5, 6, size=(len(structure), 3))
    return replace(structure.shifted(cells), name="water_far_away")


MAKERS = {
    "molecule": make_molecule,
    "two_atom_cell": make_two_atom_cell,
    "dense_crystal": make_dense_crystal,
    "water_cube": make_water_cube,
    "water_sheared": make_water_sheared,
    "water_dodecahedron": make_water_dodecahedron,
    "water_far_away": make_water_far_away,
}


def read_rectangular_pdb(path: Path) -> Structure:
    """Atoms and rectangular cell of a PDB file, read by its columns."""
    lines = path.read_text().splitlines()
    lengths = next(line for line in lines if line.startswith("CRYST1"))
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    positions = np.array([[float(line[column : column + 8]) for column in (30, 38, 46)] for line in atoms])
    atomic_numbers = np.array([ATOMIC_NUMBERS[line[76:78].strip()] for line in atoms])
    cell = np.diag([float(lengths[column : column + 9]) for column in (6, 15, 24)])
    return Structure(path.stem, atomic_numbers, positions, cell)


def _draw_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix, uniformly distributed (QR of a Gaussian matrix, signs fixed)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)
