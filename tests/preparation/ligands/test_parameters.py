"""The classical parameters of a ligand: its charge, no size of polar hydrogens, no mass."""

from __future__ import annotations

import pytest
from openmm import NonbondedForce, app, unit
from oracles.ligand_lines import draw_molecule

from orbmm.preparation.force_field import RigidMolecule, choose_templates, load_force_field, sum_charge
from orbmm.preparation.ligands.add import add_ligands
from orbmm.preparation.ligands.complete import name_atoms
from orbmm.preparation.ligands.parameters import compute_charges, format_parameters
from orbmm.settings import LigandSettings


@pytest.mark.parametrize(
    ("smiles", "charge"), [("c1ccccc1", 0), ("CC(=O)[O-]", -1), ("NC(=[NH2+])c1ccccc1", 1), ("CB(O)O", 0)]
)
def test_partial_charges_sum_to_the_formal_charge(smiles: str, charge: int) -> None:
    assert sum(compute_charges(draw_molecule(smiles))) == pytest.approx(charge, abs=1e-12)


def test_atoms_have_no_mass_and_the_sizes_of_uff() -> None:
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    added = add_ligands(modeller, modeller, [LigandSettings(residue="MOH", smiles="CO")], 1)
    system = load_force_field(added.molecules).createSystem(
        modeller.topology, residueTemplates=choose_templates(modeller.topology, added.molecules)
    )
    (force,) = [force for force in system.getForces() if isinstance(force, NonbondedForce)]
    assert [system.getParticleMass(index)._value for index in range(6)] == [0.0] * 6
    sizes = [force.getParticleParameters(index)[1:] for index in range(6)]
    found = {
        atom.name: (sigma._value * 2 ** (1 / 6) * 10, epsilon._value / 4.184)
        for atom, (sigma, epsilon) in zip(modeller.topology.atoms(), sizes, strict=True)
    }
    # Rappé et al. (1992), table 1: distance [Å] and depth [kcal/mol] of C, O and H; the hydroxyl's hydrogen has none.
    assert found["C1"] == pytest.approx((3.851, 0.105)) and found["O1"] == pytest.approx((3.500, 0.060))
    assert found["H1"] == pytest.approx((2.886, 0.044)) and found["H4"] == pytest.approx((2.886, 0.0))


def test_the_total_charge_of_a_box_counts_its_ligands() -> None:
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    added = add_ligands(modeller, modeller, [LigandSettings(residue="ACT", smiles="CC(=O)[O-]")], 1)
    assert sum_charge(modeller.topology, added.molecules) == -1


def test_two_force_fields_with_different_ligands_do_not_mix() -> None:
    texts = []
    for smiles in ("CO", "CN"):
        molecule = draw_molecule(smiles)
        name_atoms(molecule)
        texts.append(format_parameters(molecule, "LIG A:1"))
    first, second = (load_force_field((RigidMolecule("LIG A:1", text),)) for text in texts)
    assert len(first._templates["LIG A:1"].atoms) == 6 and len(second._templates["LIG A:1"].atoms) == 7
    assert "LIG A:1" not in load_force_field()._templates
