"""Topologies held against positions: bonds by distance where names and numbers do not say, ions by their names."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import CUBE, Jiggle, add_box, make_box, make_trajectory
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from orbmm.analysis import (
    compute_bonds,
    compute_density,
    compute_hydrogen_bonds,
    compute_ramachandran,
    compute_rdf_oo,
    compute_rmsd,
    compute_rmsf,
    compute_secondary_structure,
    find_large_molecules,
    read_plain_trajectory,
)
from orbmm.analysis.reading.topology import match_topology
from orbmm.errors import AnalysisError

ROW = "{:6s}{:5d} {:>4s} {:<4s}{}{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00          {:>2s}"


def make_pdb(frame: md.Trajectory, chains: str, elements: bool = True, names: dict[str, str] | None = None) -> str:
    """Return a PDB file in which every chain has a letter of the string, without CONECT."""
    lines = []
    if frame.unitcell_lengths is not None:
        box = (*10.0 * frame.unitcell_lengths[0], *frame.unitcell_angles[0])
        lines.append("CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1           1".format(*box))
    for serial, (atom, place) in enumerate(zip(frame.topology.atoms, 10.0 * frame.xyz[0], strict=True), 1):
        residue = atom.residue
        name = atom.name if len(atom.name) > 3 else f" {atom.name:<3s}"
        called = (names or {}).get(residue.name, residue.name)
        letter = chains[residue.chain.index % len(chains)]
        symbol = atom.element.symbol.upper() if elements else ""
        lines.append(ROW.format("ATOM", serial, name, called, letter, residue.resSeq, *place, symbol))
    return "\n".join([*lines, "END", ""])


def write(folder: Path, frames: md.Trajectory, pdb: str) -> tuple[Path, Path]:
    frames.save_dcd(str(folder / "moving.dcd"))
    (folder / "start.pdb").write_text(pdb)
    return folder / "moving.dcd", folder / "start.pdb"


def make_dimer() -> md.Trajectory:
    """Return two helices 2.5 nm apart, each turning by itself, the residues of both numbered from 1."""
    helix = grow_backbone(-57.0, -47.0, residues=10)
    helix = md.Trajectory(helix.xyz - helix.xyz.mean(axis=1, keepdims=True), helix.topology)
    rng, frames = np.random.default_rng(5), []
    for _ in range(6):
        parts = [Rotation.random(random_state=rng).apply(helix.xyz[0]) + 0.002 * rng.normal(size=(40, 3)) for _ in "AB"]
        frames.append(np.concatenate([parts[0], parts[1] + [2.5, 0.0, 0.0]]))
    topology = helix.topology.join(helix.topology)
    for index, residue in enumerate(topology.residues):
        residue.resSeq = index % 10 + 1
    return md.Trajectory(np.array(frames), topology)


def superpose(frame: NDArray, reference: NDArray) -> float:
    """RMSD [Å] by SciPy."""
    one, other = (each - each.mean(axis=0) for each in (frame.astype(float), reference.astype(float)))
    return float(Rotation.align_vectors(other, one)[1] / np.sqrt(len(one)) * 10.0)


@pytest.mark.parametrize("chains", [" ", "A", "AB"])
def test_two_chains_are_two_whatever_letters_they_have(tmp_path: Path, chains: str) -> None:
    dimer = make_dimer()
    recording = read_plain_trajectory(*write(tmp_path, dimer, make_pdb(dimer, chains)))
    topology = recording.start.topology
    assert topology.n_bonds == 2 * (10 * 3 + 9) and topology.n_chains == 2
    parted = any("1 bond of the topology left out" in note for note in recording.notes)
    assert parted is (len(set(chains)) == 1)
    measured = compute_rmsd(recording.frames, recording.start).values["backbone"]
    np.testing.assert_allclose(measured, [superpose(frame, dimer.xyz[0]) for frame in dimer.xyz], atol=5e-3)
    assert compute_bonds(recording.frames, recording.start).number("broken_ever") == 0
    assert compute_ramachandran(recording.frames).number("alpha_mean") == 1.0  # no torsion across the two


def make_ligand(box: float = 10.0) -> md.Trajectory:
    """Return benzene without hydrogens, cut by a face of the box, and one water."""
    angle = np.radians(60.0 * np.arange(6))
    ring = 0.14 * np.stack([np.cos(angle), np.sin(angle), 0.0 * angle], axis=1)
    water = np.array([[5.0, 5.0, 5.0], [5.09572, 5.0, 5.0], [4.976, 5.0927, 5.0]])
    topology = md.Topology()
    chain = topology.add_chain()
    residue = topology.add_residue("LIG", chain, resSeq=1)
    for i in range(6):
        topology.add_atom(f"C{i + 1}", md.element.carbon, residue)
    residue = topology.add_residue("HOH", topology.add_chain(), resSeq=2)
    for name in ("O", "H1", "H2"):
        topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    topology.create_standard_bonds()
    return add_box(md.Trajectory(np.concatenate([ring % box, water])[None], topology), np.eye(3) * box)


@pytest.mark.parametrize("wrong", [[], [(6, 7), (7, 8)], [(0, 6), (2, 8)]], ids=["none", "on water", "to water"])
def test_the_bonds_of_a_ligand_are_found_and_wrong_ones_dropped(wrong: list[tuple[int, int]]) -> None:
    frame = make_ligand()
    atoms = list(frame.topology.atoms)
    for first, second in wrong:
        frame.topology.add_bond(atoms[first], atoms[second])
    matched = match_topology(frame)
    bonds = {tuple(sorted((a.index, b.index))) for a, b in matched.start.topology.bonds}
    ring = {tuple(sorted((i, (i + 1) % 6))) for i in range(6)}
    assert bonds == ring | {(6, 7), (6, 8)}
    assert find_large_molecules(matched.start.topology).tolist() == list(range(6))
    assert len(matched.notes) == (2 if wrong else 1)


def test_a_topology_that_is_right_is_handed_on_as_it_is() -> None:
    for frame in (make_box(40), make_trajectory(Jiggle(frames=1), waters=30), make_dimer()[0]):
        matched = match_topology(frame)
        assert matched.start is frame and matched.notes == ()


def test_molecules_cut_by_the_box_of_the_frames_stay_whole(tmp_path: Path) -> None:
    """The structure file has no box: that of the frames says which bonds go through a face."""
    cut = next(frame for frame in MOVING if np.ptp(frame.xyz[0, :22], axis=0).max() > 1.0)
    pdb = make_pdb(md.Trajectory(cut.xyz, cut.topology), "AB")
    recording = read_plain_trajectory(*write(tmp_path, MOVING, pdb))
    assert recording.start.topology.n_bonds == MOVING.topology.n_bonds
    bonds = compute_bonds(recording.frames, recording.start)
    assert bonds.number("broken_ever") == bonds.number("collapsed_ever") == 0


def test_sodium_among_carbons_is_nitrogen() -> None:
    frame = make_ligand()
    atoms = list(frame.topology.atoms)
    atoms[2].name, atoms[2].element = "NA", md.element.sodium
    assert [atom.element.symbol for atom in match_topology(frame).start.topology.atoms][:6] == list("CCNCCC")


def test_positions_in_another_unit_are_refused() -> None:
    frame = make_box(10)
    with pytest.raises(AnalysisError, match="bonds of 41 that are far too long or far too short"):
        match_topology(add_box(md.Trajectory(0.1 * frame.xyz, frame.topology), CUBE))


MOVING = make_trajectory(Jiggle(frames=12, shake_nm=0.003), waters=40)


@pytest.mark.parametrize("name", ["HOH", "TIP", "T3P", "TP3", "SPC", "OPC", "DOD", "H2O", "WAT", "SOL", "TIP3", "XYZ"])
def test_a_water_is_one_oxygen_with_two_hydrogens_whatever_its_name(tmp_path: Path, name: str) -> None:
    start = MOVING[0].make_molecules_whole()
    recording = read_plain_trajectory(*write(tmp_path, MOVING, make_pdb(start, "AB", names={"HOH": name})))
    expected = compute_hydrogen_bonds(MOVING)
    measured = compute_hydrogen_bonds(recording.frames)
    assert measured.number("waters") == 40 and expected.number("water_water_mean") > 0.0
    np.testing.assert_array_equal(measured.values["water_water"], expected.values["water_water"])
    rdf = compute_rdf_oo(recording.frames)
    assert rdf.number("first_peak") == pytest.approx(compute_rdf_oo(MOVING).number("first_peak"), rel=1e-4)
    assert find_large_molecules(recording.start.topology).tolist() == list(range(22))


IONS = {"SOD": "Na", "POT": "K", "CLA": "Cl", "CAL": "Ca", "CES": "Cs", "ZN2": "Zn", "CD2": "Cd", "MG": "Mg"}


@pytest.mark.parametrize("elements", [True, False])
def test_ions_have_the_element_of_their_name(tmp_path: Path, elements: bool) -> None:
    box = make_box(20)
    topology = box.topology.copy()
    chain = topology.add_chain()
    for name, symbol in IONS.items():
        residue = topology.add_residue(name, chain, resSeq=900)
        topology.add_atom(name[:2] if name == "MG" else name, md.element.Element.getBySymbol(symbol), residue)
    places = np.concatenate([box.xyz[0], np.linspace(0.1, 1.4, len(IONS))[:, None] * [1.0, 1.0, 0.0]])
    salt = add_box(md.Trajectory(places[None], topology), CUBE)
    recording = read_plain_trajectory(*write(tmp_path, salt, make_pdb(salt, "ABC", elements)))
    found = [atom.element.symbol for atom in recording.start.topology.atoms][-len(IONS) :]
    assert found == list(IONS.values())
    mass = sum(atom.element.mass for atom in topology.atoms)
    density = compute_density(recording.frames).number("density_mean")
    assert density == pytest.approx(mass / 1.5**3 * 1.66053907e-3, rel=1e-4)


@pytest.mark.parametrize("name", ["ALA", "MSE", "SEP", "CYM", "ASH", "GLH", "LYN", "XYZ"])
def test_modified_residues_are_part_of_their_chain(tmp_path: Path, name: str) -> None:
    helix = grow_backbone(-57.0, -47.0, residues=12)
    rng = np.random.default_rng(1)
    frames = md.Trajectory(helix.xyz + 0.003 * rng.normal(size=(6, helix.n_atoms, 3)), helix.topology)
    changed = helix.topology.copy()
    for residue in (changed.residue(4), changed.residue(5), changed.residue(9)):
        residue.name = name
    pdb = make_pdb(md.Trajectory(helix.xyz, changed), "A")
    recording = read_plain_trajectory(*write(tmp_path, frames, pdb))
    assert recording.start.topology.n_bonds == helix.topology.n_bonds == 12 * 3 + 11
    for compute, column in (
        (compute_rmsd, "backbone"),
        (compute_rmsf, "rmsf"),
        (compute_secondary_structure, "helix"),
        (compute_ramachandran, "alpha"),
    ):
        expected = compute(frames, helix) if compute is compute_rmsd else compute(frames)
        measured = compute(recording.frames, recording.start) if compute is compute_rmsd else compute(recording.frames)
        np.testing.assert_allclose(measured.values[column], expected.values[column], atol=2e-2)


def test_a_chain_of_residues_unknown_to_mdtraj_has_a_secondary_structure(tmp_path: Path) -> None:
    helix = grow_backbone(-57.0, -47.0, residues=12)
    frames = md.join([helix] * 3)
    recording = read_plain_trajectory(*write(tmp_path, frames, make_pdb(helix, "A", names={"ALA": "XAA"})))
    measured = compute_secondary_structure(recording.frames)
    assert measured.number("helix_mean") == compute_secondary_structure(frames).number("helix_mean") > 0.5
