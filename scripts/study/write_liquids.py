"""Write liquids that the embedded networks do not know as frames to be labelled: ethanol, and water with one ion.

    python scripts/study/write_liquids.py liquids.extxyz
    orbmm label liquids.extxyz liquids.npz --calculator tblite:GFN1-xTB

Periodic boxes of ethanol, and drops of ten waters around a hydroxide or a hydronium. Each is placed at random, relaxed
and run for a moment at 300 K by GFN1-xTB itself. Repeated, the script makes the same frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.geometry import get_distances
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from scipy.spatial.transform import Rotation
from tblite.ase import TBLite

RELAXING_STEPS, STEPS, TIMESTEP_FS = 30, 20, 0.8
LEAST_DISTANCE = 1.75  # between atoms of two molecules at first [Å]
DROP_RADIUS = 3.8  # of the centres of the waters [Å]
HYDRONIUM = [(0.0, 0.0, 0.0), (0.94, 0.0, 0.29), (-0.47, 0.81, 0.29), (-0.47, -0.81, 0.29)]


@dataclass(frozen=True)
class Liquid:
    """One kind of liquid. edge: of its cubic box [Å]; None for a drop; charge: [e]"""

    group: str
    molecules: tuple[str, ...]
    edge: float | None = None
    charge: int = 0


LIQUIDS = (
    Liquid("ethanol", ("ethanol",) * 6, edge=8.35),  # 0.79 g/cm³
    Liquid("hydroxide", ("hydroxide", *("water",) * 10), charge=-1),
    Liquid("hydronium", ("hydronium", *("water",) * 10), charge=1),
)


def build_molecule(name: str) -> Atoms:
    """Return a molecule around the origin."""
    if name == "hydronium":
        found = Atoms("OHHH", HYDRONIUM)
    else:
        found = molecule({"ethanol": "CH3CH2OH", "hydroxide": "OH", "water": "H2O"}[name])
    return Atoms(found.numbers, found.positions - found.positions.mean(axis=0))  # without magnetic moments


def place(liquid: Liquid, generator: np.random.Generator) -> Atoms:
    """Return the molecules at random, none of them near another; a drop grows where there is no room."""
    cell = None if liquid.edge is None else np.eye(3) * liquid.edge
    atoms, radius = Atoms(cell=cell, pbc=cell is not None), DROP_RADIUS
    for name in liquid.molecules:
        while True:
            added = build_molecule(name)
            added.positions = Rotation.random(rng=generator).apply(added.positions)
            if liquid.edge is not None:
                added.positions += generator.uniform(0.0, liquid.edge, 3)
            elif len(atoms):
                added.positions += generator.normal(size=3) * radius / 1.7
                radius += 0.001
            if not len(atoms) or measure_gap(added, atoms) > LEAST_DISTANCE:
                break
        atoms += added
    return atoms


def measure_gap(added: Atoms, atoms: Atoms) -> float:
    """Return the smallest distance between the atoms of both, in the cell of the second [Å]."""
    return float(get_distances(added.positions, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)[1].min())


def sample(liquid: Liquid, seed: int) -> Atoms:
    """Return one frame of a liquid, without labels."""
    generator = np.random.default_rng(seed)
    atoms = place(liquid, generator)
    atoms.calc = TBLite(method="GFN1-xTB", charge=float(liquid.charge), verbosity=0, accuracy=1.0)
    FIRE(atoms, logfile=None, maxstep=0.1).run(fmax=0.5, steps=RELAXING_STEPS)
    Langevin(atoms, TIMESTEP_FS * units.fs, temperature_K=300.0, friction=0.02 / units.fs, rng=generator).run(STEPS)
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info={"group": liquid.group})
    if liquid.charge:
        frame.info["charge"] = liquid.charge
    return frame


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path)
    parser.add_argument("--count", type=int, default=4, help="frames of each liquid")
    arguments = parser.parse_args()
    frames = []
    for liquid in LIQUIDS:
        frames += [sample(liquid, seed) for seed in range(arguments.count)]
        print(f"{liquid.group}: {len(frames)} frames so far", flush=True)
    ase.io.write(arguments.to, frames, format="extxyz")
