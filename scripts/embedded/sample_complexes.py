"""Sample what no classical force field carries: zinc with its ligands; CO2, bicarbonate and hydroxide in water.

    python scripts/embedded/sample_complexes.py complexes.npz [--repeat 1]

GFN1-xTB itself drives the dynamics, by ASE and tblite. Each complex is built from its ligands around the zinc, relaxed,
and run at 300 and 500 K; a frame is taken every 12 steps. Stopped and repeated, the script goes on after the last
finished complex.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from openmm import Platform, app, unit
from scipy.spatial.transform import Rotation
from tblite.ase import TBLite

from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.training.data.frames import Frame, read_frames, write_frames

TEMPERATURES, FRAMES, STEPS_BETWEEN = (300.0, 500.0), 12, 12
TIMESTEP_FS = 0.8
DISTANCE_TO_ZINC = {"N": 2.05, "O": 2.05, "S": 2.33, "Cl": 2.25}  # [Å]
LEAST_DISTANCE = 2.4  # between the heavy atoms of a water that is added and all others [Å]
RELAXING_STEPS = 60
DIRECTIONS = {
    3: np.array([[1, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0]]),
    4: np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3),
    5: np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0]]),
    6: np.concatenate([np.eye(3), -np.eye(3)]),
}
CHARGES = {
    "hid": 0,
    "hie": 0,
    "water": 0,
    "hydroxide": -1,
    "cys": -1,
    "asp": -1,
    "bicarbonate": -1,
    "chloride": -1,
    "co2": 0,
}


@dataclass(frozen=True)
class Complex:
    """A metal with its ligands, or none, and molecules around them."""

    name: str
    ligands: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    waters: int = 0

    @property
    def charge(self) -> int:
        """The total charge [e]."""
        return (2 if self.ligands else 0) + sum(CHARGES[name] for name in (*self.ligands, *self.around))


HIS = ("hid", "hid", "hie")  # as in carbonic anhydrase II: NE2 of 94 and 96, ND1 of 119
COMPLEXES = (
    Complex("zn-his3-water", (*HIS, "water"), waters=4),
    Complex("zn-his3-hydroxide", (*HIS, "hydroxide"), waters=4),
    Complex("zn-his3-bare", HIS, waters=3),
    Complex("zn-his3-two-waters", (*HIS, "water", "water"), waters=3),
    Complex("zn-his3-bicarbonate", (*HIS, "bicarbonate"), waters=3),
    Complex("zn-his3-hydroxide-co2", (*HIS, "hydroxide"), ("co2",), 3),
    Complex("zn-his3-chloride", (*HIS, "chloride"), waters=2),
    Complex("zn-his2-asp-water", ("hid", "hie", "asp", "water"), waters=3),
    Complex("zn-his2-cys2", ("hid", "hie", "cys", "cys"), waters=3),
    Complex("zn-his-cys3", ("hid", "cys", "cys", "cys"), waters=4),
    Complex("zn-cys4", ("cys", "cys", "cys", "cys"), waters=4),
    Complex("zn-water4", ("water",) * 4, waters=8),
    Complex("zn-water5", ("water",) * 5, waters=8),
    Complex("zn-water6", ("water",) * 6, waters=10),
    Complex("zn-water3-hydroxide", ("water",) * 3 + ("hydroxide",), waters=8),
    Complex("zn-his2-water2", ("hid", "hid", "water", "water"), waters=5),
    Complex("co2-in-water", around=("co2",), waters=12),
    Complex("co2-alone", around=("co2",)),
    Complex("bicarbonate-in-water", around=("bicarbonate",), waters=12),
    Complex("bicarbonate-alone", around=("bicarbonate",)),
    Complex("hydroxide-in-water", around=("hydroxide",), waters=12),
    Complex("hid-in-water", around=("hid",), waters=8),
)


def build_ligand(name: str) -> tuple[Atoms, int]:
    """Return a ligand and the atom that binds."""
    if name in ("hid", "hie"):
        return build_imidazole(name.upper()), 0
    if name == "bicarbonate":
        planar = [(0, 0, 0), (1.25, 0, 0), (-0.62, 1.08, 0), (-0.67, -1.16, 0), (-1.62, -1.05, 0)]
        return Atoms("COOOH", planar), 1
    known = {"water": "H2O", "hydroxide": "OH", "cys": "CH3SH", "asp": "HCOOH", "co2": "CO2", "chloride": "Cl"}
    atoms = Atoms("Cl", [(0, 0, 0)]) if name == "chloride" else molecule(known[name])
    if name in ("cys", "asp"):  # without the proton of S or O
        heavy = [i for i, symbol in enumerate(atoms.symbols) if symbol == ("S" if name == "cys" else "O")]
        acid = [i for i, symbol in enumerate(atoms.symbols) if symbol == "H"]
        nearest = min(acid, key=lambda i: min(np.linalg.norm(atoms.positions[i] - atoms.positions[j]) for j in heavy))
        del atoms[nearest]
    binding = next(i for i, symbol in enumerate(atoms.symbols) if symbol in DISTANCE_TO_ZINC)
    return atoms, binding


def build_imidazole(variant: str) -> Atoms:
    """Return the side chain of histidine as 4-methylimidazole, the nitrogen without a hydrogen first."""
    modeller = build_capped_peptide("HIS")
    platform = Platform.getPlatform("CPU")
    modeller.addHydrogens(app.ForceField("amber14-all.xml"), variants=[None, variant, None], platform=platform)
    residue = next(residue for residue in modeller.topology.residues() if residue.name == "HIS")
    places = np.array(modeller.positions.value_in_unit(unit.angstrom))
    named = {atom.name: atom.index for atom in residue.atoms()}
    binding = "NE2" if variant == "HID" else "ND1"
    backbone = {"N", "H", "CA", "HA", "C", "O"}
    order = [binding, *(name for name in named if name not in backbone | {binding})]
    symbols = [name[0] for name in order]
    along = places[named["CA"]] - places[named["CB"]]
    end = places[named["CB"]] + 1.09 * along / np.linalg.norm(along)
    return Atoms([*symbols, "H"], [*(places[named[name]] for name in order), end])


def build_complex(what: Complex, generator: np.random.Generator) -> Atoms:
    """Return the atoms of a complex; waters are placed at random, the nearest places first."""
    atoms = Atoms("Zn", [(0, 0, 0)]) if what.ligands else Atoms()
    for name, direction in zip(what.ligands, DIRECTIONS.get(len(what.ligands), ()), strict=False):
        atoms += _bind(*build_ligand(name), np.asarray(direction, dtype=float), generator)
    for name in (*what.around, *("water",) * what.waters):
        atoms += _place(build_ligand(name)[0], atoms, generator)
    return Atoms(atoms.numbers, atoms.positions)  # without the magnetic moments of ASE's radicals


def _bind(ligand: Atoms, binding: int, direction: np.ndarray, generator: np.random.Generator) -> Atoms:
    """Return a ligand with its binding atom at the zinc's distance, the rest pointing away."""
    ligand.positions -= ligand.positions[binding]
    lengths = np.linalg.norm(ligand.positions, axis=1)
    outward = ligand.positions[(lengths > 0) & (lengths < 1.9)].sum(axis=0) if len(ligand) > 1 else direction
    turn, _ = Rotation.align_vectors([direction], [outward])
    spin = Rotation.from_rotvec(direction / np.linalg.norm(direction) * generator.uniform(0, 2 * np.pi))
    ligand.positions = (spin * turn).apply(ligand.positions)
    ligand.positions += direction / np.linalg.norm(direction) * DISTANCE_TO_ZINC[ligand.symbols[binding]]
    return ligand


def _place(added: Atoms, atoms: Atoms, generator: np.random.Generator) -> Atoms:
    """Return a molecule in a random orientation, as near to the middle as it finds room."""
    added.positions -= added.positions.mean(axis=0)
    added.positions = Rotation.random(rng=generator).apply(added.positions)
    if not len(atoms):
        return added
    radius = 2.5
    while True:
        direction = generator.normal(size=3)
        moved = added.positions + radius * direction / np.linalg.norm(direction)
        if np.linalg.norm(moved[:, None] - atoms.positions[None], axis=-1).min() > LEAST_DISTANCE - 0.6:
            added.positions = moved
            return added
        radius += 0.02


def sample(what: Complex, seed: int) -> Iterator[Frame]:
    """Yield the frames of one complex's dynamics."""
    generator = np.random.default_rng(seed)
    atoms = build_complex(what, generator)
    atoms.calc = TBLite(method="GFN1-xTB", charge=float(what.charge), verbosity=0, accuracy=1.0)
    FIRE(atoms, logfile=None, maxstep=0.1).run(fmax=0.5, steps=RELAXING_STEPS)
    for temperature in TEMPERATURES:
        dynamics = Langevin(
            atoms, TIMESTEP_FS * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=generator
        )
        for index in range(FRAMES):
            dynamics.run(STEPS_BETWEEN)
            noise = generator.normal(0.0, generator.uniform(0.02, 0.05), (len(atoms), 3)) if index % 3 == 2 else 0.0
            yield Frame(
                atomic_numbers=np.array(atoms.numbers, dtype=np.int64),
                positions=atoms.positions - atoms.positions.mean(axis=0) + noise,
                cell=None,
                peptide=np.ones(len(atoms), dtype=bool),
                group=f"{what.name}-{temperature:.0f}-{seed}",
                charge=what.charge,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--repeat", type=int, default=0, choices=range(10), help="1, 2, ...: more frames, other seeds")
    parser.add_argument("--names", nargs="+", default=[""], help="only complexes that begin so")
    arguments = parser.parse_args()
    parts = arguments.target.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    for index, complex_ in enumerate(COMPLEXES):
        if not complex_.name.startswith(tuple(arguments.names)):
            continue
        part = parts / f"{complex_.name}.npz"
        if not part.exists():
            write_frames(part, list(sample(complex_, 1 + index + 100 * arguments.repeat)))
        print(part.name, len(read_frames(part)), flush=True)
    write_frames(arguments.target, [frame for part in sorted(parts.glob("*.npz")) for frame in read_frames(part)])
