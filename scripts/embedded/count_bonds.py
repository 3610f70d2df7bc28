"""Count the bonds of each element in labelled frames, as the catalogue lists them for an embedded network.

    python scripts/embedded/count_bonds.py training-data/*-labelled.npz

Prints one line for catalog.toml. A number of bonds counts as seen if at least one atom in a thousand of its element has
it, and at least ten atoms: frames are displaced at random, and a stretched bond now and then is no coordination.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from orbmm.checkpoints.catalog import element_symbol
from orbmm.diagnose.bonds import find_bonds
from orbmm.diagnose.field import Place
from orbmm.training.data.frames import Frame, read_frames

LEAST_SHARE, LEAST_ATOMS = 1e-3, 10


def count_bonds(frames: Iterable[Frame]) -> dict[int, Counter[int]]:
    """Return how many atoms of each atomic number have how many bonds."""
    counts: dict[int, Counter[int]] = {}
    for frame in frames:
        bonds = find_bonds(frame.atomic_numbers, Place(frame.positions, frame.cell))
        of_atoms = np.bincount(bonds[:, 0], minlength=len(frame.atomic_numbers))
        for number in np.unique(frame.atomic_numbers):
            counts.setdefault(int(number), Counter()).update(of_atoms[frame.atomic_numbers == number].tolist())
    return counts


def list_seen(counts: dict[int, Counter[int]]) -> dict[str, list[int]]:
    """Return the numbers of bonds that were seen, by symbol."""
    return {
        element_symbol(number): sorted(
            bonds for bonds, atoms in found.items() if atoms >= max(LEAST_ATOMS, LEAST_SHARE * found.total())
        )
        for number, found in sorted(counts.items())
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, nargs="+")
    files = parser.parse_args().frames
    seen = list_seen(count_bonds(frame for path in files for frame in read_frames(path)))
    parts = [f'{symbol} = "{" ".join(map(str, bonds))}"' for symbol, bonds in seen.items()]
    print("bonds = { " + ", ".join(parts) + " }")
