"""The traps of carbonic anhydrase II (2CBA), each on the true file, up to the equilibrated box."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.prepare import PreparationRecord, prepare_system
from orbmm.preparation.residues import key_residue
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings import Settings, read_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(shared_structures: Path, repository: Path) -> Settings:
    recipe = read_settings(repository / "systems" / "carbonic-anhydrase-ii" / "system.toml")
    return dataclasses.replace(
        recipe, system=dataclasses.replace(recipe.system, source=str(shared_structures / "2cba.pdb"))
    )


@pytest.fixture(scope="module")
def solute(settings: Settings) -> Solute:
    return build_solute(settings.system, settings.preparation, None)


def find_form(solute: Solute, residue: str) -> str:
    return next(entry.form for entry in solute.protonation if entry.residue == residue)


def test_the_histidines_of_the_zinc_have_no_hydrogen_on_it(solute: Solute) -> None:
    assert [find_form(solute, f"HIS A:{number}") for number in (94, 96, 119)] == ["HID", "HID", "HIE"]


def test_the_zinc_stays_with_its_four_ligands(solute: Solute) -> None:
    (site,) = solute.metal_sites
    assert site.metal == "ZN A:262"
    found = {(ligand.residue, ligand.name): ligand.distance_angstrom for ligand in site.ligands}
    crystal = {
        ("HOH A:263", "O"): 2.05,
        ("HIS A:94", "NE2"): 2.10,
        ("HIS A:119", "ND1"): 2.11,
        ("HIS A:96", "NE2"): 2.12,
    }
    assert found == pytest.approx(crystal, abs=0.01)


def test_the_start_that_the_crystal_lacks_is_built(solute: Solute) -> None:
    assert solute.repairs is not None and solute.repairs.residues_added == ("ACE SER before HIS A:3",)
    assert [residue.name for residue in solute.modeller.topology.residues()][:3] == ["ACE", "SER", "HIS"]
    assert solute.modeller.topology.getNumAtoms() == 4747
    assert sum_charge(solute.modeller.topology) == 0
    assert solute.repairs.warnings == ()


def test_without_the_cap_the_mismatch_is_spoken_of(settings: Settings) -> None:
    bare = build_solute(settings.system, dataclasses.replace(settings.preparation, insert_before={}), None)
    assert bare.repairs is not None
    assert any("has 258 residues and the file's sequence 260" in warning for warning in bare.repairs.warnings)
    assert sum_charge(bare.modeller.topology) == 1


def test_the_crystal_waters_of_the_proton_wire_stay(solute: Solute) -> None:
    waters = {key_residue(residue) for residue in solute.modeller.topology.residues() if residue.name == "HOH"}
    assert {"A:263", "A:318", "A:292", "A:338"} <= waters and len(waters) == 220


def test_one_location_is_taken_of_each_residue_with_two(solute: Solute) -> None:
    chosen = {choice.residue: choice.chosen for choice in solute.alternate_locations}
    assert chosen == {"HIS A:4": "A", "GLU A:14": "A", "HIS A:64": "A", "GLN A:136": "A"}


def test_no_bond_of_the_zinc_is_in_the_topology(solute: Solute) -> None:
    (site,) = solute.metal_sites
    assert all(site.atom not in (bond.atom1.index, bond.atom2.index) for bond in solute.modeller.topology.bonds())


def test_the_water_of_the_zinc_can_be_the_hydroxide_of_the_active_enzyme(settings: Settings) -> None:
    active = build_solute(settings.system, dataclasses.replace(settings.preparation, variants={"A:263": "OH"}), None)
    assert find_form(active, "HOH A:263") == "OH"
    assert active.modeller.topology.getNumAtoms() == 4746
    assert sum_charge(active.modeller.topology) == -1


@pytest.fixture(scope="module")
def record(settings: Settings) -> PreparationRecord:
    """The whole way to the box as the recipe has it, 1 ps of equilibration included: minutes."""
    return prepare_system(settings.system, settings.preparation).record


def test_the_box_is_neutral_and_of_the_expected_size(record: PreparationRecord) -> None:
    assert record.atoms == pytest.approx(25_800, rel=0.03)
    assert record.solvation.ions_added["NA"] == record.solvation.ions_added["CL"] > 15
    assert (record.solute_charge, record.charge, record.multiplicity) == (0, 0, 1)
    assert record.relaxation.density_g_per_cm3 == pytest.approx(1.0, abs=0.03)
    assert record.warnings == ()


def test_the_zinc_distances_are_those_of_the_crystal_after_equilibration(record: PreparationRecord) -> None:
    (before,), (after,) = record.metal_sites_in_file, record.metal_sites
    assert len(after.ligands) == 4
    assert record.relaxation.equilibrated_ps == 1.0
    for crystal, equilibrated in zip(before.ligands, after.ligands, strict=True):
        assert equilibrated.distance_angstrom == pytest.approx(crystal.distance_angstrom, abs=0.2)
