"""Finished boxes: solvated, relaxed, repeatable, and written as a folder that a run reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import Context, Platform, VerletIntegrator, app, unit

from orbmm.errors import ModelError, PreparationError
from orbmm.preparation import write
from orbmm.preparation.box.classical import Held, relax_box
from orbmm.preparation.box.solvent import add_solvent
from orbmm.preparation.elements import KnownElements
from orbmm.preparation.force_field import load_force_field
from orbmm.preparation.hydrogens.metal_sites import measure_sites
from orbmm.preparation.prepare import PreparedSystem, prepare_system
from orbmm.preparation.solute import build_solute
from orbmm.preparation.write import format_structure, write_prepared
from orbmm.settings import Settings, SystemSettings, read_settings
from orbmm.settings.preparation import PreparationSettings

WritePeptide = Callable[..., Path]
HCNO = KnownElements("small-model", frozenset({1, 6, 7, 8}))
SHORT = PreparationSettings(equilibration_ps=0.1)


def prepare(source: Path | str, known: KnownElements | None = None, **changes: object) -> PreparedSystem:
    values = {"name": "x", "source": str(source), "padding_nm": 0.5} | changes
    return prepare_system(SystemSettings(**values), SHORT, known)


@pytest.fixture(scope="module")
def alanine_dipeptide() -> PreparedSystem:
    return prepare("alanine-dipeptide", HCNO)


def test_the_peptide_is_in_water_and_neutral(alanine_dipeptide: PreparedSystem) -> None:
    record = alanine_dipeptide.record
    names = [residue.name for residue in alanine_dipeptide.topology.residues()]
    assert names[:3] == ["ACE", "ALA", "NME"] and set(names[3:]) == {"HOH"}
    assert record.atoms == 22 + 3 * record.solvation.waters_added == sum(record.elements.values())
    assert (record.charge, record.multiplicity) == (0, 1)


def test_the_relaxed_box_has_no_strain_left(alanine_dipeptide: PreparedSystem) -> None:
    positions = np.array(alanine_dipeptide.positions.value_in_unit(unit.nanometer))
    for bond in alanine_dipeptide.topology.bonds():
        length = np.linalg.norm(positions[bond.atom1.index] - positions[bond.atom2.index])
        assert 0.08 < length < 0.17, "a bond is torn by the box's edge or stretched"
    relaxation = alanine_dipeptide.record.relaxation
    assert relaxation.energy_minimized_kj_per_mol < min(0.0, relaxation.energy_start_kj_per_mol)


def _format(prepared: PreparedSystem) -> str:
    return format_structure(prepared.topology, prepared.positions, ".pdb")


def find_largest_force(modeller: app.Modeller) -> float:
    """Of amber14 on one atom [kJ/mol/nm]."""
    system = load_force_field().createSystem(
        modeller.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.5 * unit.nanometer, rigidWater=False
    )
    context = Context(system, VerletIntegrator(0.001), Platform.getPlatform("Reference"))
    context.setPositions(modeller.positions)
    forces = context.getState(forces=True).getForces(asNumpy=True)
    return float(np.linalg.norm(forces.value_in_unit(unit.kilojoule_per_mole / unit.nanometer), axis=1).max())


def test_the_first_forces_of_a_new_box_would_tear_it_and_those_of_a_relaxed_one_do_not() -> None:
    system = SystemSettings(name="x", source="alanine-dipeptide", padding_nm=0.5)
    minimization = PreparationSettings(equilibration_ps=0.0)
    modeller = build_solute(system, minimization, None).modeller
    add_solvent(modeller, system)
    assert find_largest_force(modeller) > 10_000
    relax_box(modeller, Held(), minimization, seed=1)
    assert find_largest_force(modeller) < 3_000


def test_the_same_seed_builds_the_same_box_bitwise(alanine_dipeptide: PreparedSystem) -> None:
    again, other = prepare("alanine-dipeptide"), prepare("alanine-dipeptide", seed=2)
    assert again.positions == alanine_dipeptide.positions
    assert dataclasses.asdict(again.record) == dataclasses.asdict(alanine_dipeptide.record)
    assert _format(again) == _format(alanine_dipeptide)
    assert other.positions != alanine_dipeptide.positions


def test_the_folder_is_read_back_as_it_was_written(alanine_dipeptide: PreparedSystem, tmp_path: Path) -> None:
    settings = Settings(system=SystemSettings(name="ala", source="alanine-dipeptide", padding_nm=0.5))
    written = write_prepared(alanine_dipeptide, settings, tmp_path / "ala")
    structure = read_settings(written).system.structure
    assert structure == (tmp_path / "ala" / "ala.pdb").resolve()
    pdb = app.PDBFile(str(structure))
    assert pdb.topology.getNumBonds() == alanine_dipeptide.topology.getNumBonds()
    positions = np.array(pdb.positions.value_in_unit(unit.angstrom))
    assert positions == pytest.approx(np.array(alanine_dipeptide.positions.value_in_unit(unit.angstrom)), abs=6e-4)
    record = json.loads((tmp_path / "ala" / "preparation.json").read_text())
    assert record["atoms"] == pdb.topology.getNumAtoms() and record["seed"] == 1
    with pytest.raises(PreparationError, match=r"exists already.*--overwrite"):
        write_prepared(alanine_dipeptide, settings, tmp_path / "ala")
    write_prepared(alanine_dipeptide, settings, tmp_path / "ala", overwrite=True)


def test_a_structure_too_large_for_pdb_is_written_as_mmcif(
    alanine_dipeptide: PreparedSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_MOST_ATOMS_IN_PDB", alanine_dipeptide.record.atoms - 1)
    settings = Settings(system=SystemSettings(name="ala"))
    structure = read_settings(write_prepared(alanine_dipeptide, settings, tmp_path)).system.structure
    assert structure is not None and structure.suffix == ".cif"
    cif = app.PDBxFile(str(structure))
    assert cif.topology.getNumAtoms() == alanine_dipeptide.record.atoms
    assert cif.topology.getNumBonds() == alanine_dipeptide.topology.getNumBonds()
    boxes = [
        np.array(topology.getPeriodicBoxVectors()._value) for topology in (cif.topology, alanine_dipeptide.topology)
    ]
    assert boxes[0] == pytest.approx(boxes[1], abs=1e-4)


def test_water_alone_makes_a_box() -> None:
    record = prepare("water", HCNO, padding_nm=0.6).record
    assert record.atoms == 3 * record.solvation.waters_added and record.solute_charge == 0


@pytest.mark.parametrize("shape", ["dodecahedron", "octahedron"])
def test_other_shapes_survive_the_pdb_file(shape: str) -> None:
    prepared = prepare("alanine-dipeptide", box=shape)
    (ax, _, _), (bx, by, _), (cx, cy, _) = prepared.record.box_nm
    expected = {"dodecahedron": (0.0, 1.0, 0.5, 0.5), "octahedron": (1 / 3, 8**0.5 / 3, -1 / 3, 2**0.5 / 3)}[shape]
    assert (bx / ax, by / ax, cx / ax, cy / ax) == pytest.approx(expected, abs=1e-4)
    lines = _format(prepared).splitlines()
    assert float(lines[0][6:15]) == pytest.approx(10 * ax, abs=1e-3) and lines[0].startswith("CRYST1")


def test_ions_neutralise_a_charged_solute(write_peptide: WritePeptide) -> None:
    record = prepare(write_peptide("LYS"), salt_molar=0.3).record
    ions = record.solvation.ions_added
    assert (record.solute_charge, record.charge) == (1, 0)
    assert ions["CL"] == ions.get("NA", 0) + 1


def test_a_charged_box_is_made_only_on_demand_and_with_a_warning(write_peptide: WritePeptide) -> None:
    record = prepare(write_peptide("LYS"), HCNO, neutralize=False).record
    assert record.charge == 1 and "the box has total charge +1" in record.warnings


def test_ions_that_the_model_does_not_know_are_refused_with_a_way_out(write_peptide: WritePeptide) -> None:
    with pytest.raises(PreparationError, match=r"charge \+1 and small-model was not trained on the ions.*above 10"):
        prepare(write_peptide("LYS"), HCNO)
    with pytest.raises(PreparationError, match=r"charge -1 .*below 4\.4 ASP and GLU.*--no-neutralize"):
        prepare(write_peptide("ASP"), HCNO)
    with pytest.raises(PreparationError, match="was not trained on Na and Cl: leave the salt out"):
        prepare("alanine-dipeptide", HCNO, salt_molar=0.15)


def test_a_box_too_small_is_refused() -> None:
    with pytest.raises(PreparationError, match=r"padding_nm is 0\.1, so that images of the solute would touch"):
        prepare("alanine-dipeptide", padding_nm=0.1)


def test_a_system_without_a_source_is_refused() -> None:
    with pytest.raises(PreparationError, match="names no source"):
        prepare_system(SystemSettings(name="x"), SHORT)


@pytest.mark.parametrize("held", [True, False])
def test_metal_distances_stay_only_because_they_are_held(held: bool, write_peptide: WritePeptide) -> None:
    system = SystemSettings(name="x", source=str(write_peptide("HIS", zinc_at="NE2")), padding_nm=0.5)
    solute = build_solute(system, SHORT, None)
    add_solvent(solute.modeller, system)
    relax_box(solute.modeller, Held(solute.metal_sites if held else ()), SHORT, seed=1)
    (site,) = measure_sites(solute.metal_sites, solute.modeller.topology, solute.modeller.positions)
    change = abs(site.ligands[0].distance_angstrom - solute.metal_sites[0].ligands[0].distance_angstrom)
    assert (change < 0.06) == held


def test_a_box_that_is_too_thin_is_warned_of_with_its_density(alanine_dipeptide: PreparedSystem) -> None:
    density = alanine_dipeptide.record.relaxation.density_g_per_cm3
    assert density < 0.95
    (warning,) = alanine_dipeptide.record.warnings
    assert warning.startswith(f"density {density:.3f} g/cm3 after 0.1 ps, water has 1.0: lengthen equilibration_ps")


def test_a_thin_box_of_constant_volume_is_told_to_take_a_pressure() -> None:
    system = SystemSettings(name="x", source="water", padding_nm=0.6)
    constant = PreparationSettings(minimization_steps=5, equilibration_ps=0.02, pressure_bar=0.0)
    (warning,) = prepare_system(system, constant).record.warnings
    assert "after 0.02 ps, water has 1.0: set pressure_bar, 0 keeps the volume, or start" in warning


def test_a_box_at_the_density_of_water_is_not_warned_of() -> None:
    system = SystemSettings(name="x", source="water", padding_nm=0.7)
    record = prepare_system(system, PreparationSettings(equilibration_ps=5.0, pressure_bar=3000.0)).record
    assert record.relaxation.density_g_per_cm3 > 0.97
    assert record.warnings == ()


def test_progress_tells_minimisation_and_equilibration_from_start_to_end() -> None:
    told: dict[str, list[float]] = {}
    system = SystemSettings(name="x", source="water", padding_nm=0.6)
    prepare_system(system, SHORT, on_progress=lambda stage, done: told.setdefault(stage, []).append(done))
    assert list(told) == ["minimising", "equilibrating"]
    for stage, parts in told.items():
        assert len(parts) > 2 and parts == sorted(parts) and parts[-1] == 1.0, stage


def test_an_impossible_multiplicity_is_refused_before_minutes_of_relaxation() -> None:
    told = []
    system = SystemSettings(name="x", source="water", padding_nm=0.6)
    with pytest.raises(ModelError, match="multiplicity 2, but .* electrons have an odd multiplicity"):
        prepare_system(system, SHORT, on_progress=lambda stage, done: told.append(stage), multiplicity=2)
    assert told == []


def test_the_relaxation_takes_as_many_threads_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(app.Simulation):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            asked.append(self.context.getPlatform().getPropertyValue(self.context, "Threads"))

    monkeypatch.setattr(app, "Simulation", Watched)
    system = SystemSettings(name="x", source="water", padding_nm=0.6)
    for threads in (1, 2):
        prepare_system(system, PreparationSettings(minimization_steps=5, equilibration_ps=0.0, threads=threads))
    assert asked == ["1", "2"]
