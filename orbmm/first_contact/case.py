"""The structure on which a GPU is compared with the CPU: a small box of the user's own elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SITES_PER_EDGE = 4  # of a cubic lattice, so 64 atoms
SPACING_ANGSTROM = 2.4  # some 65 edges an atom within 6 Å, as in a liquid; no two nuclei come near
DISPLACEMENT_ANGSTROM = 0.25
STEP_ANGSTROM = 0.003  # between two frames, about what an atom moves in 0.5 fs
FRAMES = 3
_SEED = 20_250_404


@dataclass(frozen=True)
class Case:
    """A structure and its frames.

    atomic_numbers: (N,); frames: (F, N, 3) [Å]; cell: (3, 3) rows [Å], or None
    charge [e], multiplicity: None for models that do not take them
    """

    atomic_numbers: np.ndarray
    frames: np.ndarray
    cell: np.ndarray | None
    charge: int | None = None
    multiplicity: int | None = None


def build_case(
    atomic_numbers: Sequence[int], periodic: bool, charge: int | None = None, multiplicity: int | None = None
) -> Case:
    """Return a box with the elements of a system in about their shares, each at least once; always the same one.

    atomic_numbers: of the user's atoms
    """
    random = np.random.default_rng(_SEED)
    numbers = choose_atoms(atomic_numbers, SITES_PER_EDGE**3)
    random.shuffle(numbers)
    edge = SITES_PER_EDGE * SPACING_ANGSTROM
    sites = np.stack(np.meshgrid(*3 * [np.arange(SITES_PER_EDGE)], indexing="ij"), axis=-1).reshape(-1, 3)
    positions = SPACING_ANGSTROM * sites[: len(numbers)] + random.uniform(-1, 1, (len(numbers), 3)) * (
        DISPLACEMENT_ANGSTROM
    )
    steps = random.normal(scale=STEP_ANGSTROM, size=(FRAMES, len(numbers), 3))
    return Case(numbers, positions + steps, edge * np.eye(3) if periodic else None, charge, multiplicity)


def build_lattice(
    atomic_numbers: np.ndarray, cell: np.ndarray | None, charge: int | None = None, multiplicity: int | None = None
) -> Case:
    """Return these atoms on a lattice, where no positions are known: it fills the cell, as a liquid would.

    In a cell with more room, and without one, neighbours are SPACING_ANGSTROM apart. cell: (3, 3) rows [Å] or None
    """
    edge = int(np.ceil(len(atomic_numbers) ** (1 / 3)))
    sites = np.stack(np.meshgrid(*3 * [np.arange(edge)], indexing="ij"), axis=-1).reshape(-1, 3)[: len(atomic_numbers)]
    random = np.random.default_rng(_SEED)
    shifted = sites + random.uniform(-1, 1, sites.shape) * DISPLACEMENT_ANGSTROM / SPACING_ANGSTROM
    is_full = cell is not None and abs(np.linalg.det(cell)) < (SPACING_ANGSTROM * edge) ** 3
    positions = shifted @ (cell / edge) if cell is not None and is_full else SPACING_ANGSTROM * shifted
    return Case(atomic_numbers, positions[None], cell, charge, multiplicity)


def choose_atoms(atomic_numbers: Sequence[int], most: int) -> np.ndarray:
    """Return so many atomic numbers: each element at least once, if there is room, and the rest by its share."""
    counts = Counter(int(number) for number in atomic_numbers)
    elements = sorted(counts)[:most]
    chosen = dict.fromkeys(elements, 1)
    for _ in range(most - len(elements)):
        chosen[max(elements, key=lambda number: counts[number] / (chosen[number] + 1))] += 1
    return np.array([number for number in elements for _ in range(chosen[number])], dtype=np.int64)
