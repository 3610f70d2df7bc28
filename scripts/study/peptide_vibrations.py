"""Compare the vibrations of alanine dipeptide in vacuum: an embedded network against GFN1-xTB, both by differences.

    python scripts/study/peptide_vibrations.py docs/embedded/vibrations.json docs/pictures/vibrations.png

Each method relaxes the peptide first, because frequencies belong to a minimum. Needs the extras `ase` and `train`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from matplotlib.figure import Figure
from openmm import app, unit
from tblite.ase import TBLite

import orbmm

MODEL = "orb-mini-conservative-inf-xtb"
STEP_ANGSTROM = 0.01
LARGEST_FORCE = 2e-3  # eV/Å at the end of a relaxation: far below what 0.01 Å changes in any mode
PEPTIDE = Path("systems/alanine-dipeptide/alanine-dipeptide.pdb")


def read_peptide(path: Path) -> Atoms:
    """Return the peptide of a file without its water."""
    file = app.PDBFile(str(path))
    chosen = [atom for atom in file.topology.atoms() if atom.residue.name != "HOH"]
    positions = file.getPositions(asNumpy=True).value_in_unit(unit.angstrom)[[atom.index for atom in chosen]]
    return Atoms([atom.element.symbol for atom in chosen], positions)


def compute_hessian(atoms: Atoms, step: float) -> np.ndarray:
    """Return the second derivatives (3N, 3N) [eV/Å^2] by central differences of the forces."""
    rows, start = [], atoms.get_positions()
    for index in range(3 * len(atoms)):
        forces = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved.flat[index] += sign * step
            atoms.set_positions(moved)
            forces.append(atoms.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2.0 * step))
    atoms.set_positions(start)
    return np.array(rows)


def compute_modes(atoms: Atoms, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (3N - 6,) [1/cm], negative for imaginary ones, and their modes (3N, 3N - 6)."""
    masses = np.repeat(atoms.get_masses(), 3)
    weighted = 0.5 * (hessian + hessian.T) / np.sqrt(np.outer(masses, masses))
    rigid = list_rigid_motions(atoms) * np.sqrt(masses)[:, None]
    free = np.linalg.svd(rigid)[0][:, 6:]  # all motions but those of the whole
    values, vectors = np.linalg.eigh(free.T @ weighted @ free)
    factor = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
    return np.sign(values) * np.sqrt(np.abs(values)) * factor, free @ vectors


def list_rigid_motions(atoms: Atoms) -> np.ndarray:
    """Return three translations and three rotations as columns (3N, 6)."""
    centred = atoms.positions - atoms.get_center_of_mass()
    columns = [np.tile(axis, (len(atoms), 1)).ravel() for axis in np.eye(3)]
    return np.array(columns + [np.cross(axis, centred).ravel() for axis in np.eye(3)]).T


def study(name: str, calculator: Calculator, start: Atoms) -> dict[str, np.ndarray]:
    """Relax a copy of the peptide and return its positions, Hessian, frequencies and modes."""
    atoms = start.copy()
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=LARGEST_FORCE, steps=600)
    left = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if left > LARGEST_FORCE:
        raise SystemExit(f"{name}: a force of {left:.4f} eV/Å is left after the relaxation")
    hessian = compute_hessian(atoms, STEP_ANGSTROM)
    frequencies, modes = compute_modes(atoms, hessian)
    return {"positions": atoms.positions, "hessian": hessian, "frequencies": frequencies, "modes": modes}


def pair_modes(network: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> np.ndarray:
    """Return for each mode of the reference the index of the network's mode that overlaps with it, one for one."""
    from scipy.optimize import linear_sum_assignment

    overlap = (reference["modes"].T @ network["modes"]) ** 2
    return linear_sum_assignment(-overlap)[1]


def summarise(network: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, object]:
    """Return the figures that are kept."""
    ours, theirs = network["frequencies"][pair_modes(network, reference)], reference["frequencies"]
    error = ours - theirs
    bands = {"below 600": theirs < 600, "600 to 2000": (theirs >= 600) & (theirs < 2000), "above 2000": theirs >= 2000}
    return {
        "frequencies_network_per_cm": np.round(ours, 2).tolist(),
        "frequencies_gfn1_xtb_per_cm": np.round(theirs, 2).tolist(),
        "mean_absolute_error_per_cm": round(float(np.abs(error).mean()), 1),
        "median_absolute_error_per_cm": round(float(np.median(np.abs(error))), 1),
        "mean_error_per_cm_by_band": {name: round(float(error[band].mean()), 1) for name, band in bands.items()},
        "mean_absolute_error_per_cm_by_band": {
            name: round(float(np.abs(error[band]).mean()), 1) for name, band in bands.items()
        },
        "imaginary_modes": {"network": int((ours < 0).sum()), "gfn1_xtb": int((theirs < 0).sum())},
        "hessian_asymmetry_network": float(
            f"{np.abs(network['hessian'] - network['hessian'].T).max() / np.abs(network['hessian']).max():.2g}"
        ),
    }


def measure_hessian_at(positions: np.ndarray, start: Atoms, make: Callable[[], Calculator]) -> np.ndarray:
    """Return the Hessian of a method at given positions."""
    atoms = start.copy()
    atoms.positions = positions
    atoms.calc = make()
    return compute_hessian(atoms, STEP_ANGSTROM)


def draw(kept: dict[str, object], picture: Path) -> None:
    """Draw the network's frequencies over those of GFN1-xTB, and the differences."""
    theirs, ours = (np.array(kept[f"frequencies_{name}_per_cm"]) for name in ("gfn1_xtb", "network"))
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 3700], [0, 3700], color="#999999", linewidth=1)
    left.plot(theirs, ours, "o", color="#0072B2", markersize=4)
    left.set_ylabel("embedded network / cm$^{-1}$")
    right.axhline(0.0, color="#999999", linewidth=1)
    right.vlines(theirs, 0.0, ours - theirs, color="#D55E00")
    right.set_ylabel("network - GFN1-xTB / cm$^{-1}$")
    for panel in (left, right):
        panel.set_xlabel("GFN1-xTB / cm$^{-1}$")
        panel.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)


def main() -> None:
    """Relax, differentiate, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    start = read_peptide(PEPTIDE)
    model = orbmm.OrbCalculator(MODEL)
    network = study(MODEL, model, start)
    reference = study("GFN1-xTB", make_xtb(), start)
    kept = {
        "model": MODEL,
        "weights_sha256": model.potential.weights_sha256,
        "step_angstrom": STEP_ANGSTROM,
        "atoms": len(start),
        **summarise(network, reference),
    }
    here = measure_hessian_at(network["positions"], start, make_xtb)  # both at the network's minimum
    kept["hessian_error_share"] = round(float(np.linalg.norm(network["hessian"] - here) / np.linalg.norm(here)), 4)
    arguments.figures.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    draw(kept, arguments.picture)


def make_xtb() -> Calculator:
    """Return GFN1-xTB with charges converged far below what the differences need."""
    return TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)


if __name__ == "__main__":
    main()
