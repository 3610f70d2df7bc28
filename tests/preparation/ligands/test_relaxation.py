"""A ligand is held rigid while water relaxes around it, also by a barostat."""

from __future__ import annotations

import numpy as np
import pytest
from openmm import HarmonicBondForce, app, unit
from oracles.ligand_lines import draw_molecule, take_heavy_atoms

from orbmm.preparation.box import classical
from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.preparation.force_field import RigidMolecule
from orbmm.preparation.hydrogens.metal_sites import Ligand as BindingAtom
from orbmm.preparation.hydrogens.metal_sites import MetalSite
from orbmm.preparation.prepare import PreparedSystem, prepare_system
from orbmm.settings import LigandSettings, PreparationSettings, SystemSettings

BENZENE = LigandSettings(residue="BNZ", smiles="c1ccccc1")
SYSTEM = SystemSettings(name="benzene", source="water", padding_nm=0.6)


def prepare(picoseconds: float) -> PreparedSystem:
    preparation = PreparationSettings(ligand=(BENZENE,), equilibration_ps=picoseconds, minimization_steps=50)
    return prepare_system(SYSTEM, preparation)


def measure(prepared: PreparedSystem) -> np.ndarray:
    """All distances within the ligand [Å]."""
    positions = np.array(prepared.positions.value_in_unit(unit.angstrom))
    places = positions[[atom.index for atom in prepared.topology.atoms() if atom.residue.name == "BNZ"]]
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


def test_a_ligand_keeps_its_shape_while_a_barostat_shrinks_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its twin without the bonds that a barostat looks at is torn."""
    built, relaxed = prepare(0.0), prepare(0.3)
    assert relaxed.record.box_nm != built.record.box_nm
    np.testing.assert_allclose(measure(relaxed), measure(built), atol=1e-4)
    assert measure(built)[0, 1] == pytest.approx(1.39, abs=0.01)  # of benzene
    monkeypatch.setattr(classical, "_join_molecules", lambda *_: HarmonicBondForce())
    assert np.abs(measure(prepare(0.3)) - measure(built)).max() > 0.01


def test_the_density_counts_the_ligand() -> None:
    prepared = prepare(0.0)
    mass = sum(atom.element.mass.value_in_unit(unit.dalton) for atom in prepared.topology.atoms())
    volume = np.linalg.det(np.array(prepared.record.box_nm))
    assert prepared.record.relaxation.density_g_per_cm3 == pytest.approx(mass * 1.66054e-3 / volume, abs=2e-4)


def test_counter_ions_follow_the_charge_of_a_ligand() -> None:
    acetate = LigandSettings(residue="ACT", smiles="CC(=O)[O-]")
    preparation = PreparationSettings(ligand=(acetate,), equilibration_ps=0, minimization_steps=5)
    record = prepare_system(SYSTEM, preparation).record
    assert (record.solute_charge, record.charge, record.multiplicity) == (-1, 0, 1)
    assert record.solvation.ions_added == {"NA": 1}


def test_a_barostat_moves_a_ligand_with_the_protein_beside_it() -> None:
    """Its twin: atoms without these bonds are molecules of their own."""
    modeller = build_capped_peptide("ALA")
    peptide = modeller.topology.getNumAtoms()
    found = take_heavy_atoms(draw_molecule("c1ccccc1"), "BNZ B:1")
    benzene = app.Topology()
    residue = benzene.addResidue("BNZ", benzene.addChain("B"), "1")
    atoms = [benzene.addAtom(name, app.element.carbon, residue) for name in found.names]
    for first in range(6):
        benzene.addBond(atoms[first], atoms[(first + 1) % 6])
    modeller.add(benzene, (found.positions + [0.0, 0.0, 8.0]) * unit.angstrom)
    joints = classical._join_molecules(modeller, (RigidMolecule("BNZ B:1", ""),))
    joined = {frozenset(joints.getBondParameters(index)[:2]) for index in range(joints.getNumBonds())}
    inside = [pair for pair in joined if min(pair) >= peptide]
    across = [pair for pair in joined if min(pair) < peptide <= max(pair)]
    assert (len(inside), len(across), len(joined)) == (6, 1, 7)
    strengths = [joints.getBondParameters(index)[3]._value for index in range(joints.getNumBonds())]
    assert set(strengths) == {0.0}


def test_a_metal_that_a_ligand_binds_does_not_move() -> None:
    """Its twin, a metal that only the protein binds, does."""
    bound, other = (
        MetalSite(index, "ZN A:99", (BindingAtom(9, residue, "N1", 2.0),))
        for index, residue in ((3, "MSA A:1"), (4, "HIS A:1"))
    )
    held = classical.Held((bound, other), (RigidMolecule("MSA A:1", ""),))
    assert classical._find_metals_of_molecules(held) == [3]
