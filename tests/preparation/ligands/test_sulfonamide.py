"""Carbonic anhydrase II (2CBA) with acetazolamide at its zinc, built from a SMILES."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from openmm import unit

from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings import LigandSettings, read_settings

pytestmark = pytest.mark.slow

ACETAZOLAMIDE = LigandSettings(
    residue="AZM", smiles="CC(=O)Nc1nnc(s1)S(=O)(=O)[NH-]", charge=-1, place_at="A:262"
)  # fmt: skip


@pytest.fixture(scope="module")
def solute(shared_structures: Path, repository: Path) -> Solute:
    recipe = read_settings(repository / "systems" / "carbonic-anhydrase-ii" / "system.toml")
    system = dataclasses.replace(recipe.system, source=str(shared_structures / "2cba.pdb"))
    return build_solute(system, dataclasses.replace(recipe.preparation, ligand=(ACETAZOLAMIDE,)), None)


def measure(solute: Solute, first: tuple[str, str, str], second: tuple[str, str, str]) -> float:
    """The distance of two atoms, each by residue name, residue number and name [Å]."""
    positions = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    at = {(atom.residue.name, atom.residue.id, atom.name): atom.index for atom in solute.modeller.topology.atoms()}
    return float(np.linalg.norm(positions[at[first]] - positions[at[second]]))


def test_its_nitrogen_takes_the_place_of_the_water_at_the_zinc(solute: Solute) -> None:
    (site,) = solute.metal_sites
    bound = {(ligand.residue, ligand.name): ligand.distance_angstrom for ligand in site.ligands}
    assert bound.keys() == {("AZM A:483", "N4"), ("HIS A:94", "NE2"), ("HIS A:96", "NE2"), ("HIS A:119", "ND1")}
    assert bound["AZM A:483", "N4"] == pytest.approx(2.0, abs=0.001)
    assert "HOH A:263" in solute.ligands[0].waters_removed


def test_the_charge_follows(solute: Solute) -> None:
    assert sum_charge(solute.modeller.topology, solute.molecules) == -1  # 0 without the ligand
    forms = {entry.residue: entry.form for entry in solute.protonation}
    assert [forms[f"HIS A:{number}"] for number in (94, 96, 119)] == ["HID", "HID", "HIE"]


def test_the_pose_has_the_contacts_that_sulfonamides_have_in_crystals(solute: Solute) -> None:
    """N with OG1 of THR 199, one O with its N, the other O 3 Å from zinc.

    Source: Vidgren, Liljas and Walker, Int. J. Biol. Macromol. 12, 342 (1990), acetazolamide in this enzyme.
    """
    nitrogen, zinc = ("AZM", "483", "N4"), ("ZN", "262", "ZN")
    oxygens = [("AZM", "483", name) for name in ("O2", "O3")]
    assert measure(solute, nitrogen, ("THR", "199", "OG1")) == pytest.approx(2.8, abs=0.3)
    assert min(measure(solute, oxygen, ("THR", "199", "N")) for oxygen in oxygens) == pytest.approx(3.0, abs=0.3)
    assert min(measure(solute, oxygen, zinc) for oxygen in oxygens) == pytest.approx(3.1, abs=0.3)


def test_no_heavy_atom_of_the_protein_is_too_near(solute: Solute) -> None:
    positions = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    atoms = [atom for atom in solute.modeller.topology.atoms() if atom.element.atomic_number > 1]
    own = [atom.index for atom in atoms if atom.residue.name == "AZM"]
    others = [atom.index for atom in atoms if atom.residue.name not in ("AZM", "ZN")]
    assert np.linalg.norm(positions[own][:, None] - positions[others][None], axis=-1).min() > 2.4
