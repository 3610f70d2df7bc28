"""Write the small molecules of the G2 set that ASE ships as frames to be labelled, unlike what a network has seen.

    python scripts/study/write_molecules.py molecules.extxyz
    orbmm label molecules.extxyz molecules.npz --calculator tblite:GFN1-xTB

Each molecule of H, C, N and O is there as published and in displaced copies; all of them are of one group, its name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
from ase import Atoms
from ase.build import molecule
from ase.collections import g2

ELEMENTS = {"H", "C", "N", "O"}
DISPLACEMENT_ANGSTROM = 0.05


def build_molecules(copies: int) -> list[Atoms]:
    """Return each molecule and its displaced copies; the same ones at each call."""
    frames = []
    for name in g2.names:
        found = molecule(name)
        if len(found) < 2 or not ELEMENTS >= set(found.symbols):
            continue
        for seed in range(copies + 1):
            frame = Atoms(found.numbers, found.positions, info={"group": name})
            if seed:
                frame.rattle(DISPLACEMENT_ANGSTROM, seed=seed)
            frames.append(frame)
    return frames


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path)
    parser.add_argument("--copies", type=int, default=2, help="displaced copies of each")
    arguments = parser.parse_args()
    frames = build_molecules(arguments.copies)
    ase.io.write(arguments.to, frames, format="extxyz")
    print(f"{len(frames)} frames of {len({frame.info['group'] for frame in frames})} molecules")
