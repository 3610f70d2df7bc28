"""Residues that look alike are told apart by their chain, in names, tables and colours."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import make_box

from orbmm.analysis import compute_protonation, compute_rmsf, compute_secondary_structure
from orbmm.analysis.geometry.names import Names
from orbmm.report import draw_figure
from orbmm.report.view import build_views


def make_dimer(letters: tuple[str | None, str | None] = ("A", "B"), frames: int = 8) -> md.Trajectory:
    """Return two helices with the same names and numbers; the second one shakes ten times as much."""
    helix = grow_backbone(-57.0, -47.0, residues=8)
    topology = helix.topology.join(helix.topology)
    for chain, letter in zip(topology.chains, letters, strict=True):
        chain.chain_id = letter
        for number, residue in enumerate(chain.residues, 1):
            residue.resSeq = number
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(frames, topology.n_atoms, 3)) * np.repeat([0.002, 0.02], helix.n_atoms)[:, None]
    xyz = np.concatenate([helix.xyz, helix.xyz + [2.0, 0.0, 0.0]], axis=1) + noise
    return md.Trajectory(xyz, topology, time=np.arange(frames))


@pytest.mark.parametrize(
    ("letters", "expected"),
    [(("A", "B"), ["A", "B"]), (("X", None), ["X", "2"]), ((None, None), ["1", "2"]), (("A", "A"), ["1", "2"])],
)
def test_chains_have_their_letters_or_numbers(letters: tuple[str | None, str | None], expected: list[str]) -> None:
    topology = make_dimer(letters).topology
    names = Names(topology)
    assert [names.name_residue(topology.residue(i)) for i in (0, 8)] == [f"{chain}:ALA1" for chain in expected]
    assert names.name_atom(1) == f"{expected[0]}:ALA1-CA"


def test_a_single_protein_has_plain_names() -> None:
    topology = make_box(5).topology
    names = Names(topology)
    assert [names.name_residue(residue) for residue in topology.residues] == list(map(str, topology.residues))
    assert [names.name_atom(atom.index) for atom in topology.atoms] == list(map(str, topology.atoms))


def test_waters_that_are_alike_in_two_chains_are_told_apart() -> None:
    topology = make_box(2).topology.join(make_box(2).topology.subset(range(22, 28)))
    for chain, letter in zip(topology.chains, "ABC", strict=True):
        chain.chain_id = letter
    for residue in list(topology.residues)[3:]:
        residue.resSeq = 1 + residue.index % 2
    names = [Names(topology).name_residue(residue) for residue in topology.residues]
    assert names[:3] == list(map(str, topology.residues))[:3] and sorted(names[3:]) == sorted(
        ["B:HOH1", "B:HOH2", "C:HOH1", "C:HOH2"]
    )


@pytest.mark.parametrize("letters", [("A", "B"), (None, None)])
def test_each_chain_has_its_own_fluctuation_and_colours(letters: tuple[str | None, str | None]) -> None:
    dimer = make_dimer(letters, frames=40)
    result = compute_rmsf(dimer)
    still, moving = result.values["rmsf"][:8], result.values["rmsf"][8:]
    assert still.max() < 0.5 * moving.min()
    assert len(set(result.values["chain"][:8])) == 1 and len(set(result.values["name"].tolist())) == 16
    coloring = build_views(dimer[0], {"rmsf": result})["Structure at the start"]["colorings"][0]
    assert coloring["name"] == "rmsf" and not set(coloring["colors"][:32]) & set(coloring["colors"][32:])
    assert len(set(compute_secondary_structure(dimer).values["residue_names"][:, 0].tolist())) == 16


def test_the_line_of_the_fluctuation_ends_with_its_chain() -> None:
    (panel,) = draw_figure(compute_rmsf(make_dimer())).axes
    numbers = panel.lines[0].get_xdata()
    assert np.flatnonzero(np.isnan(numbers)).tolist() == [8] and len(numbers) == 17
    single = make_dimer().atom_slice(np.arange(32))
    result = compute_rmsf(single)
    assert "chain" not in result.values and not np.isnan(draw_figure(result).axes[0].lines[0].get_xdata()).any()


def test_groups_of_two_chains_are_two_groups() -> None:
    """The same acid in both chains loses its proton in the second one alone."""
    topology, places = md.Topology(), []
    for place in (0.0, 2.0):
        residue = topology.add_residue("GLH", topology.add_chain(), resSeq=5)
        for name, symbol, x in (("CD", "C", 0.0), ("OE1", "O", 0.12), ("HE1", "H", 0.217)):
            topology.add_atom(name, md.element.Element.getBySymbol(symbol), residue)
            places.append([x + place, 0.0, 0.0])
        residue = topology.add_residue("HOH", topology.add_chain(), resSeq=9)
        topology.add_atom("O", md.element.oxygen, residue)
        places.append([0.38 + place, 0.0, 0.0])
    xyz = np.repeat(np.array(places)[None], 6, axis=0)
    xyz[3:, 6] = [2.0 + 0.38 - 0.097, 0.0, 0.0]
    result = compute_protonation(md.Trajectory(xyz, topology, time=np.arange(6)))
    columns = {name: values[-1] for name, values in result.columns.items() if name.startswith("protons_")}
    assert columns == {"protons_3:GLH5": 0}
