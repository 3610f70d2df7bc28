"""Deviation from a crystal structure, and of the binding site."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.zinc_site import make_site
from scipy.spatial.transform import Rotation

from orbmm.analysis import compute_crystal_rmsd, compute_rmsd, find_binding_site, read_structure
from orbmm.analysis.structure.crystal_rmsd import match_atoms
from orbmm.errors import AnalysisError


def deviate(positions: np.ndarray, reference: np.ndarray) -> float:
    """RMSD [Å] by SciPy's rotation that aligns two sets of positions [nm]."""
    one, other = (each - each.mean(axis=0) for each in (positions, reference))
    return float(Rotation.align_vectors(other, one)[1] / np.sqrt(len(one)) * 10.0)


def move(trajectory: md.Trajectory, frames: int = 4, shake_nm: float = 0.03) -> md.Trajectory:
    rng = np.random.default_rng(3)
    turned = [Rotation.random(random_state=rng).apply(trajectory.xyz[0]) for _ in range(frames)]
    xyz = np.array(turned) + shake_nm * rng.normal(size=(frames, trajectory.n_atoms, 3))
    return md.Trajectory(xyz, trajectory.topology, time=np.arange(frames))


def test_the_deviation_is_that_of_another_superposition_over_matched_atoms() -> None:
    helix = grow_backbone(-57.0, -47.0)
    moving = move(helix)
    order = np.arange(helix.n_atoms - 8)  # the crystal lacks the last two residues
    result = compute_crystal_rmsd(moving, helix.atom_slice(order), "1ABC")
    expected = [deviate(frame[order].astype(float), helix.xyz[0, order].astype(float)) for frame in moving.xyz]
    np.testing.assert_allclose(result.values["backbone"], expected, rtol=1e-4)
    assert (
        "1ABC" in result.method
        and "56 of 64 heavy atoms" in result.method
        and "first without: ALA14-N" in result.method
    )


def test_atoms_are_matched_by_name_and_not_by_order() -> None:
    helix = grow_backbone(-57.0, -47.0, residues=6)
    reversed_order = md.Topology()
    chain = reversed_order.add_chain()
    xyz = []
    for residue in helix.topology.residues:
        copy = reversed_order.add_residue(residue.name, chain, resSeq=residue.resSeq)
        for atom in reversed(list(residue.atoms)):
            reversed_order.add_atom(atom.name, atom.element, copy)
            xyz.append(helix.xyz[0, atom.index])
    crystal = md.Trajectory(np.array(xyz)[None], reversed_order)
    np.testing.assert_allclose(compute_crystal_rmsd(helix, crystal).values["backbone"], 0.0, atol=1e-3)
    assert compute_rmsd(helix, md.Trajectory(crystal.xyz, helix.topology)).number("backbone_last") > 0.5


def test_histidines_are_histidines_by_any_name_and_chains_go_in_order() -> None:
    topologies = []
    for name in ("HIS", "HIE"):
        topology = md.Topology()
        for _ in range(2):
            residue = topology.add_residue(name, topology.add_chain(), resSeq=64)
            for atom in ("N", "CA", "CB"):
                topology.add_atom(atom, md.element.Element.getBySymbol(atom[0]), residue)
        topologies.append(topology)
    rows, partners = match_atoms(*topologies)
    assert rows.tolist() == partners.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_structure_of_something_else_is_refused() -> None:
    other = grow_backbone(-57.0, -47.0, residues=4)
    for residue in other.topology.residues:
        residue.name = "GLY"
    with pytest.raises(AnalysisError, match="0 heavy atoms match .* expected at least 3"):
        compute_crystal_rmsd(grow_backbone(-57.0, -47.0), other, "other.pdb")


def test_the_published_start_is_close_to_another_crystal_of_the_same_protein(shared_structures: Path) -> None:
    """3KS3 and 2CBA differ by less than their coordinate errors in the backbone (0.1-0.2 Å), more in side chains."""
    start, crystal = (read_structure(shared_structures / name) for name in ("3ks3_prepared_co2.pdb", "2cba.pdb"))
    result = compute_crystal_rmsd(start, crystal, "2cba", find_binding_site(start))
    assert 0.05 < result.number("binding_site_last") < result.number("backbone_last") < 0.25
    assert result.number("backbone_last") < result.number("heavy_atoms_last") < 0.6
    rows, partners = match_atoms(start.topology, crystal.topology)
    backbone = [i for i, row in enumerate(rows) if start.topology.atom(int(row)).name in ("N", "CA", "C", "O")
                and not start.topology.atom(int(row)).residue.is_water]  # fmt: skip
    expected = deviate(start.xyz[0, rows[backbone]].astype(float), crystal.xyz[0, partners[backbone]].astype(float))
    assert result.number("backbone_last") == pytest.approx(expected, abs=2e-3)  # mdtraj superposes in float32


def test_the_site_of_carbonic_anhydrase_lies_around_its_zinc(shared_structures: Path) -> None:
    start = read_structure(shared_structures / "3ks3_prepared_co2.pdb")
    site = find_binding_site(start)
    residues = {str(start.topology.atom(int(index)).residue) for index in site}
    assert residues == {"HIS94", "HIS96", "GLU106", "HIS119", "THR199"}
    assert {start.topology.atom(int(index)).element.symbol for index in site} == {"C", "N", "O"}


def test_the_site_can_be_selected_and_is_measured_by_itself() -> None:
    helix = grow_backbone(-57.0, -47.0)
    moving = move(helix, shake_nm=0.0)
    moving.xyz[:, :4] += 0.5  # residue 0 leaves
    quiet, torn = find_binding_site(helix, "resSeq 5 6"), find_binding_site(helix, "resSeq 0 1")
    assert quiet.tolist() == list(range(20, 28))
    assert compute_rmsd(moving, helix, quiet).number("binding_site_largest") < 1e-3
    assert compute_rmsd(moving, helix, torn).number("binding_site_largest") > 1.0


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ("resSeq 900", "matches no atom"),
        ("resname ZN", "matches no heavy atom of the solute"),
        ("residue and (", "cannot be read"),
        ("junk", "cannot be read"),
        ("name =~ '('", "cannot be read"),
        ("not " * 2000 + "water", "cannot be read"),
    ],
)
def test_a_selection_of_nothing_is_refused(selection: str, words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        find_binding_site(make_site(), selection)


def test_without_metal_and_selection_there_is_no_site() -> None:
    assert len(find_binding_site(grow_backbone(-57.0, -47.0))) == 0
