"""The relaxation keeps amino acids on their side, also where they are held because one was turned over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from openmm import Vec3, unit
from oracles.peptide_lines import build_peptide, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation import prepare
from orbmm.preparation.box.classical import Held, relax_box
from orbmm.preparation.box.solvent import add_solvent
from orbmm.preparation.repair.chirality import list_mirrored_residues
from orbmm.preparation.solute import Solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

BuildSolute = Callable[..., Solute]
SYSTEM = SystemSettings(name="x", source="x.pdb", padding_nm=0.5)
SHORT = PreparationSettings(minimization_steps=60, equilibration_ps=0.0)


def push_beta_into_the_plane(solute: Solute) -> Solute:
    """Put HA of the middle residue where CB belongs and CB just short of the plane, which turns it over."""
    atoms = {atom.name: atom.index for atom in solute.modeller.topology.atoms() if atom.residue.id == "2"}
    places = {name: np.array(solute.modeller.positions[i].value_in_unit(unit.angstrom)) for name, i in atoms.items()}
    normal = np.cross(places["N"] - places["CA"], places["C"] - places["CA"])
    normal /= np.linalg.norm(normal)
    beta = places["CB"] - ((places["CB"] - places["CA"]) @ normal - 0.05) * normal
    for name in ("CB", "HB1", "HB2", "HB3"):
        moved = places[name] + beta - places["CB"]
        solute.modeller.positions[atoms[name]] = Vec3(*moved) * unit.angstrom
    solute.modeller.positions[atoms["HA"]] = Vec3(*(places["CA"] + 1.09 * normal)) * unit.angstrom
    return solute


@pytest.mark.parametrize("held", [False, True])
def test_an_amino_acid_on_the_edge_stays_left_handed_only_because_it_is_held(held: bool, build: BuildSolute) -> None:
    solute = push_beta_into_the_plane(build(format_lines(build_peptide(["ALA"] * 3))))
    modeller = solute.modeller
    assert list_mirrored_residues(modeller.topology, modeller.positions) == ()
    add_solvent(modeller, SYSTEM)
    relax_box(modeller, Held(), SHORT, seed=1, hold_chirality=held)
    assert list_mirrored_residues(modeller.topology, modeller.positions) == (() if held else ("ALA A:2",))


def test_what_turns_over_is_relaxed_again_and_refused_at_last(
    build: BuildSolute, monkeypatch: pytest.MonkeyPatch
) -> None:
    solute = push_beta_into_the_plane(build(format_lines(build_peptide(["ALA"] * 3))))
    add_solvent(solute.modeller, SYSTEM)
    start = solute.modeller.positions
    prepare._relax(solute, SHORT, 1, lambda stage, done: None)
    assert list_mirrored_residues(solute.modeller.topology, solute.modeller.positions) == ()

    def relax_without_springs(*arguments: object, hold_chirality: bool = False) -> object:
        return relax_box(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "relax_box", relax_without_springs)
    solute.modeller.positions = start
    with pytest.raises(PreparationError, match="ALA A:2 became a D-amino acid in the relaxation"):
        prepare._relax(solute, SHORT, 1, lambda stage, done: None)
