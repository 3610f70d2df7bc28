"""Water and ions around the solute, in a periodic box of a chosen shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_letters

import numpy as np
from openmm import Vec3, app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import Molecules, choose_templates, load_force_field
from orbmm.preparation.library_calls import seeded_random
from orbmm.preparation.residues import is_water, label_residue
from orbmm.settings.system import SystemSettings

LEAST_PADDING_NM = 0.3
MOST_ATOMS = 5_000_000  # a cube of water 37 nm wide
_ATOMS_PER_NM3 = 100.0  # of water


# Rows are the box vectors for width 1; the width is the least distance between two images of a point.
_UNIT_BOXES = {
    "cube": np.eye(3),
    "dodecahedron": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, np.sqrt(0.5)]]),
    "octahedron": np.array(
        [[1.0, 0.0, 0.0], [1 / 3, 2 * np.sqrt(2) / 3, 0.0], [-1 / 3, np.sqrt(2) / 3, np.sqrt(6) / 3]]
    ),
}
_BALL_STEPS = 2000


@dataclass(frozen=True)
class Solvation:
    """The water and ions that were added around the solute.

    waters_added: water molecules beside those of the structure file
    ions_added: ions by name, {"NA": 3, "CL": 4}
    """

    waters_added: int
    ions_added: Mapping[str, int]


def add_solvent(modeller: app.Modeller, settings: SystemSettings, molecules: Molecules = ()) -> Solvation:
    """Fill a box around the solute with water, and with ions where settings ask for them.

    The padding is the least distance between two images of the solute.
    Raises PreparationError: padding too small, no room for the ions.
    """
    _check_padding(settings)
    before, chains = _count_residues(modeller.topology), modeller.topology.getNumChains()
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer)).reshape(-1, 3)
    box = compute_box(positions, settings.padding_nm, settings.box)
    _refuse_vast_box(modeller.topology, positions, box)
    try:
        with seeded_random(settings.seed):
            modeller.addSolvent(
                load_force_field(molecules),
                model="tip3p",
                boxVectors=tuple(Vec3(*row) * unit.nanometer for row in box),
                ionicStrength=settings.salt_molar * unit.molar,
                neutralize=settings.neutralize,
                residueTemplates=choose_templates(modeller.topology, molecules),
            )
    except (IndexError, ValueError) as error:
        raise PreparationError(f"no room for the ions ({error}): choose a larger padding or less salt") from error
    _name_added_chains(modeller.topology, chains)
    added = _count_residues(modeller.topology) - before
    waters = added.pop("HOH", 0)
    if not waters:
        raise PreparationError(f"no water fits around the solute with padding_nm = {settings.padding_nm:g}: enlarge it")
    return Solvation(waters, dict(added))


def _name_added_chains(topology: app.Topology, before: int) -> None:
    """Give chains of solvent whose number has two digits a letter that no chain has: a PDB file can hold it."""
    chains = list(topology.chains())
    free = (letter for letter in reversed(ascii_letters) if all(chain.id != letter for chain in chains))
    for chain in chains[before:]:
        if len(chain.id) > 1:
            chain.id = next(free, chain.id)


def _refuse_vast_box(topology: app.Topology, positions_nm: np.ndarray, box_nm: np.ndarray) -> None:
    """Raise PreparationError for a box of more than MOST_ATOMS, and name the atom that is farthest from the others."""
    atoms = float(np.linalg.det(box_nm)) * _ATOMS_PER_NM3
    if atoms <= MOST_ATOMS:
        return
    reason = "choose a smaller padding_nm"
    if len(positions_nm) > 1:
        distances = np.linalg.norm(positions_nm - np.median(positions_nm, axis=0), axis=1)
        far = list(topology.atoms())[int(distances.argmax())]
        reason = (
            f"atom {far.name} of {label_residue(far.residue)} is {distances.max():.4g} nm from the middle of the "
            "solute; correct it, or choose a smaller padding_nm"
        )
    raise PreparationError(
        f"the box would be {box_nm[0, 0]:.4g} nm wide and hold some {atoms:.2g} atoms, more than {MOST_ATOMS:,}: "
        f"{reason}"
    )


def _check_padding(settings: SystemSettings) -> None:
    if settings.padding_nm < LEAST_PADDING_NM:
        raise PreparationError(
            f"padding_nm is {settings.padding_nm:g}, so that images of the solute would touch: "
            f"at least {LEAST_PADDING_NM:g} nm is needed, 1.0 nm is usual"
        )


def _count_residues(topology: app.Topology) -> Counter[str]:
    return Counter("HOH" if is_water(residue) else residue.name for residue in topology.residues())


def compute_box(positions_nm: np.ndarray, padding_nm: float, shape: str) -> np.ndarray:
    """Box vectors as rows (3, 3) [nm] that keep images of the solute the padding apart, however it turns.

    positions_nm: (N, 3); without atoms the box is twice the padding wide
    shape: cube, dodecahedron (rhombic) or octahedron (truncated)
    """
    diameter = 2.0 * find_enclosing_radius(positions_nm)
    return max(diameter + padding_nm, 2.0 * padding_nm) * _UNIT_BOXES[shape]


def find_enclosing_radius(positions_nm: np.ndarray) -> float:
    """Radius of nearly the smallest ball around all points (N, 3), never smaller than it [nm].

    A ball around the middle of the extent would be up to 5 % larger and hang on single side chains.
    Source: Badoiu and Clarkson, Smaller core-sets for balls (2003): step towards the farthest point, ever less.
    """
    if len(positions_nm) == 0:
        return 0.0
    center = positions_nm.mean(axis=0)
    for step in range(1, _BALL_STEPS):
        farthest = positions_nm[np.linalg.norm(positions_nm - center, axis=1).argmax()]
        center = center + (farthest - center) / (step + 1)
    return float(np.linalg.norm(positions_nm - center, axis=1).max())
