"""Show the settings that phonons, elastic constants, pair curves and finite differences need, and draw the results.

    python scripts/study/crystal_tests.py docs/embedded/crystal-tests.json docs/pictures/crystal-tests.png
    python scripts/study/crystal_tests.py out.json out.png --model orb-v3-conservative-inf-omat --structure silicon.cif

Without --model: full-size networks with random weights on a silicon-like cell, which test the machinery only; their
numbers mean nothing. Needs the extra `ase` and phonopy (pip install phonopy).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import FIRE
from ase.units import GPa
from matplotlib.figure import Figure

import orbmm
from orbmm.checkpoints.catalog import find_record
from orbmm.model.load import make_network
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision

KINDS = {"direct": "orb-v3-direct-inf-omat", "conservative": "orb-v3-conservative-inf-omat"}
STEPS_ANGSTROM = (0.1, 0.01, 0.001)
PRECISIONS = ("float64", "float32-highest")
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
NORMAL_STRAINS = (-0.1, -0.05, 0.05, 0.1)  # of the paper, which goes from -0.1 to 0.1
SHEAR_STRAINS = (-0.02, -0.01, 0.01, 0.02)


def make_calculator(name: str, precision: str, random: bool) -> Calculator:
    """Return a network, with random weights if asked for: the same ones in each precision."""
    if not random:
        return orbmm.OrbCalculator(name, precision=precision)
    record, arithmetic = find_record(name), find_precision(precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_network(record).to(arithmetic.dtype).eval().requires_grad_(False)
    return orbmm.OrbCalculator.from_potential(Potential(record, network, "0" * 64, torch.device("cpu"), arithmetic))


def compute_force_constants(
    cell: Atoms, calculator: Calculator, step: float, repeats: int, symmetry: bool = False
) -> np.ndarray:
    """Return the force constants (N, N, 3, 3) [eV/Å^2] of a supercell, by displacements in both directions.

    symmetry: let phonopy leave out what symmetry repeats, which is right only for a network that is invariant
    """
    from phonopy import Phonopy  # for phonons alone: the elastic constants do without
    from phonopy.structure.atoms import PhonopyAtoms

    unit = PhonopyAtoms(cell.get_chemical_symbols(), cell=cell.cell.array, scaled_positions=cell.get_scaled_positions())
    phonon = Phonopy(unit, np.eye(3) * repeats, is_symmetry=symmetry)
    phonon.generate_displacements(distance=step, is_plusminus=True)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        atoms = Atoms(displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True)
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants(calculate_full_force_constants=True)
    return np.array(phonon.force_constants)


def study_phonons(cell: Atoms, name: str, random: bool, repeats: int) -> dict[str, object]:
    """Return force constants by step and precision against the best ones, and what phonopy's symmetry does to them."""
    best = compute_force_constants(cell, make_calculator(name, "float64", random), 0.001, repeats)
    largest = float(np.abs(best).max())
    errors = {}
    for precision in PRECISIONS:
        calculator = make_calculator(name, precision, random)
        errors[precision] = [
            float(np.abs(compute_force_constants(cell, calculator, step, repeats) - best).max() / largest)
            for step in STEPS_ANGSTROM
        ]
    short = compute_force_constants(cell, make_calculator(name, "float64", random), 0.01, repeats, symmetry=True)
    return {
        "largest_force_constant_eV_A2": largest,
        "share_lost_by_step_and_precision": errors,
        "sum_rule_share": float(np.abs(best.sum(axis=1)).max() / largest),
        "asymmetry_share": float(np.abs(best - best.transpose(1, 0, 3, 2)).max() / largest),
        "symmetric_shortcut_share_of_error": float(np.abs(short - best).max() / largest),
    }


def study_elasticity(cell: Atoms, calculator: Calculator, steps: int, relax_cell: bool) -> dict[str, object]:
    """Return the elastic tensor (6, 6) [GPa] from the stress under Green-Lagrange strain, and its mean moduli.

    Each strained cell is fixed while FIRE relaxes the atoms. relax_cell: relax the cell too, before it is strained
    """
    cell = cell.copy()
    cell.calc = calculator
    if relax_cell:
        FIRE(FrechetCellFilter(cell), logfile=None).run(fmax=0.01, steps=steps)
    columns, unrelaxed = [], 0
    for index, (row, column) in enumerate(VOIGT):
        stresses = []
        strains = NORMAL_STRAINS if index < 3 else SHEAR_STRAINS
        for strain in strains:
            green = np.zeros((3, 3))
            green[row, column] = green[column, row] = strain
            deformation = np.linalg.cholesky(2.0 * green + np.eye(3)).T
            atoms = cell.copy()
            atoms.set_cell(cell.cell.array @ deformation.T, scale_atoms=True)
            atoms.calc = calculator
            unrelaxed += not FIRE(atoms, logfile=None).run(fmax=0.01, steps=steps)
            stresses.append(atoms.get_stress() / GPa)
        slopes = np.polyfit(strains, np.array(stresses), 1)[0]  # (6,)
        columns.append(slopes if index < 3 else slopes / 2.0)  # the engineering strain is twice the tensor's
    tensor = np.array(columns).T
    return {
        "tensor": tensor.round(3).tolist(),
        "asymmetry_share": float(np.abs(tensor - tensor.T).max() / np.abs(tensor).max()),
        "strained_cells_not_relaxed": unrelaxed,
        **compute_moduli((tensor + tensor.T) / 2.0),
    }


def compute_moduli(tensor: np.ndarray) -> dict[str, float]:
    """Return bulk and shear modulus of a polycrystal [GPa]: the mean of Voigt's and Reuss' (Hill)."""
    (stiff, stiff_off, stiff_shear), (soft, soft_off, soft_shear) = map(sum_blocks, (tensor, np.linalg.inv(tensor)))
    bulk = (stiff + 2.0 * stiff_off) / 9.0, 1.0 / (soft + 2.0 * soft_off)
    shear = (stiff - stiff_off + 3.0 * stiff_shear) / 15.0, 15.0 / (4.0 * (soft - soft_off) + 3.0 * soft_shear)
    return {"bulk_modulus": float(np.mean(bulk)), "shear_modulus": float(np.mean(shear))}


def sum_blocks(tensor: np.ndarray) -> tuple[float, float, float]:
    """Return 11 + 22 + 33, 12 + 13 + 23 and 44 + 55 + 66 of a tensor (6, 6)."""
    return np.trace(tensor[:3, :3]), np.triu(tensor[:3, :3], 1).sum(), np.trace(tensor[3:, 3:])


def make_ice() -> Atoms:
    """Return ordered cubic ice (XIc), two molecules: each oxygen of diamond gives its hydrogens to two neighbours."""
    edge, bond = 6.36, 0.98  # [Å]
    vectors = edge / 2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    to_second = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    second = np.full(3, edge / 4.0)
    positions = [np.zeros(3), *(bond * to_second[:2]), second, *(second - bond * to_second[2:])]
    return Atoms("OH2OH2", positions, cell=vectors, pbc=True)


def study_pairs(name: str, random: bool, elements: tuple[str, ...]) -> dict[str, dict[str, list[float]]]:
    """Return energies [eV] of pairs of atoms over their distance [Å], relative to the largest distance."""
    calculator, curves = make_calculator(name, "float64", random), {}
    distances = np.linspace(0.6, 6.2, 57)
    for element in elements:
        energies = []
        for distance in distances:
            atoms = Atoms([element, element], [[0, 0, 0], [distance, 0, 0]])
            atoms.calc = calculator
            energies.append(atoms.get_potential_energy())
        curves[element] = {
            "distance_A": distances.round(4).tolist(),
            "energy_eV": (np.array(energies) - energies[-1]).tolist(),
        }
    return curves


def draw(kept: dict[str, dict], picture: Path) -> None:
    """Draw the error of the force constants over the step, and the pair curves of the embedded networks."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (label, study) in zip(("#D55E00", "#0072B2"), kept["phonons"].items(), strict=False):
        for style, (precision, shares) in zip(
            ("-o", "--s"), study["share_lost_by_step_and_precision"].items(), strict=True
        ):
            left.loglog(STEPS_ANGSTROM, shares, style, color=colour, label=f"{label}, {precision}")
        left.axhline(study["symmetric_shortcut_share_of_error"], color=colour, linestyle=":")
    left.set_xlabel("step / Å (dotted: with symmetry)")
    left.set_ylabel("error / largest force constant")
    left.legend(frameon=False, fontsize=7)
    for label, curves in kept["pairs"].items():
        for element, curve in curves.items():
            right.plot(curve["distance_A"], curve["energy_eV"], label=f"{element}-{element}, {label}")
    right.set_ylim(-8, 12)
    right.set_xlabel("distance / Å")
    right.set_ylabel("energy / eV")
    right.legend(frameon=False, fontsize=7)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", help="a model whose weights are here; default: random weights of both kinds")
    parser.add_argument("--structure", type=Path, help="a primitive cell; default: silicon-like")
    parser.add_argument("--repeats", type=int, default=2, help="of the cell along each axis, in the phonons")
    arguments = parser.parse_args()
    random = arguments.model is None
    cell = read(arguments.structure) if arguments.structure else bulk("Si", "diamond", a=5.43)
    names = KINDS if random else {arguments.model: arguments.model}
    pairs = {"orb-mini-conservative": "orb-mini-conservative-inf-xtb"} if random else names
    elements = ("H", "C", "N", "O") if random else tuple(sorted(set(cell.get_chemical_symbols())))
    kept = {
        "weights": "random" if random else "published",
        "steps_angstrom": STEPS_ANGSTROM,
        "phonons": {label: study_phonons(cell, name, random, arguments.repeats) for label, name in names.items()},
        "elastic_constants_GPa": {
            label: study_elasticity(cell, make_calculator(name, "float64", random), 3 if random else 500, not random)
            for label, name in names.items()
        },
        "pairs": {label: study_pairs(name, False, elements) for label, name in pairs.items()},
    }
    if random:  # what exists: a crystal that resembles the training data of an embedded network
        ice = make_calculator(pairs["orb-mini-conservative"], "float64", False)
        kept["elastic_constants_GPa"]["orb-mini-conservative, ice XIc"] = study_elasticity(make_ice(), ice, 500, True)
    arguments.figures.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    draw(kept, arguments.picture)


if __name__ == "__main__":
    main()
