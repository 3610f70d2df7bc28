"""A water that binds a metal is a water or, by choice, a hydroxide; charge and ions follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.prepare import PreparedSystem, prepare_system
from orbmm.preparation.residues import key_residue
from orbmm.preparation.solute import build_solute
from orbmm.preparation.write import write_prepared
from orbmm.settings import Settings, SystemSettings, read_settings
from orbmm.settings.preparation import PreparationSettings

BOUND, FREE = "A:100", "A:101"
ZINC_OXYGEN_ANGSTROM = 2.05


@pytest.fixture(scope="module")
def system(write_peptide: Callable[..., Path]) -> SystemSettings:
    """A histidine with a zinc, a water that binds it and another one that does not."""
    path = write_peptide("HIS", zinc_at="NE2")
    lines = [line for line in path.read_text().splitlines() if line != "END"]
    atoms = [line for line in lines if not line.startswith("TER")]
    place = {line[12:16].strip(): np.array([float(line[at : at + 8]) for at in (30, 38, 46)]) for line in atoms}
    outward = (place["ZN"] - place["NE2"]) / np.linalg.norm(place["ZN"] - place["NE2"])
    for number, distance in ((100, ZINC_OXYGEN_ANGSTROM), (101, 5.0)):
        x, y, z = place["ZN"] + distance * outward
        lines.append(f"HETATM  {number}  O   HOH A {number}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           O")
    path.write_text("\n".join([*lines, "END", ""]))
    return SystemSettings(name="site", source=str(path), padding_nm=0.5)


def ask(form: str | None, residue: str = BOUND) -> PreparationSettings:
    return PreparationSettings(variants={residue: form} if form else {}, equilibration_ps=0.1)


@pytest.fixture(scope="module")
def hydroxide(system: SystemSettings) -> PreparedSystem:
    return prepare_system(system, ask("OH"))


def list_atoms(topology: app.Topology, key: str) -> list[str]:
    return next([a.name for a in residue.atoms()] for residue in topology.residues() if key_residue(residue) == key)


@pytest.mark.parametrize(
    ("form", "reason"), [(None, "binds ZN A:99"), ("HOH", "asked for")], ids=["by default", "asked for"]
)
def test_a_water_at_a_metal_stays_one_and_is_spoken_of(form: str | None, reason: str, system: SystemSettings) -> None:
    solute = build_solute(system, ask(form), None)
    water = solute.protonation[-1]
    assert (water.residue, water.form, water.reason) == ("HOH A:100", "HOH", reason)
    assert list_atoms(solute.modeller.topology, BOUND) == ["O", "H1", "H2"]
    assert sum_charge(solute.modeller.topology) == 2


def test_a_hydroxide_lacks_one_proton_and_its_charge(system: SystemSettings) -> None:
    solute = build_solute(system, ask("OH"), None)
    water = solute.protonation[-1]
    assert (water.residue, water.form, water.reason) == ("HOH A:100", "OH", "asked for")
    assert list_atoms(solute.modeller.topology, BOUND) == ["O", "H1"]
    assert list_atoms(solute.modeller.topology, FREE) == ["O", "H1", "H2"]
    assert sum_charge(solute.modeller.topology) == 1


def test_the_ions_and_the_record_follow(hydroxide: PreparedSystem) -> None:
    record = hydroxide.record
    assert (record.solute_charge, record.charge, record.multiplicity) == (1, 0, 1)
    assert record.solvation.ions_added == {"CL": 1}
    assert [entry.form for entry in record.protonation] == ["HID", "OH"]


def test_the_hydroxide_stays_at_the_metal_with_its_hydrogen_outwards(hydroxide: PreparedSystem) -> None:
    (before,), (after,) = hydroxide.record.metal_sites_in_file, hydroxide.record.metal_sites
    for there, here in zip(before.ligands, after.ligands, strict=True):
        assert here.distance_angstrom == pytest.approx(there.distance_angstrom, abs=0.2)
    assert "A:100" in " ".join(ligand.residue for ligand in after.ligands)
    positions = np.array(hydroxide.positions.value_in_unit(unit.angstrom))
    hydrogen = next(a for a in hydroxide.topology.atoms() if key_residue(a.residue) == BOUND and a.name == "H1")
    assert np.linalg.norm(positions[hydrogen.index] - positions[after.atom]) > ZINC_OXYGEN_ANGSTROM


def test_a_box_with_a_hydroxide_is_read_back_with_it(hydroxide: PreparedSystem, tmp_path: Path) -> None:
    structure = read_settings(write_prepared(hydroxide, Settings(SystemSettings("site")), tmp_path)).system.structure
    topology = app.PDBFile(str(structure)).topology
    assert list_atoms(topology, BOUND) == ["O", "H1"]
    assert topology.getNumBonds() == hydroxide.topology.getNumBonds()


def test_a_hydroxide_that_no_metal_holds_is_refused(system: SystemSettings) -> None:
    with pytest.raises(PreparationError, match=r"HOH A:101, which binds no metal; waters that do: HOH A:100"):
        build_solute(system, ask("OH", FREE), None)


def test_another_form_of_a_water_is_refused(system: SystemSettings) -> None:
    with pytest.raises(PreparationError, match="form 'OHH' of HOH A:100; did you mean"):
        build_solute(system, ask("OHH"), None)
