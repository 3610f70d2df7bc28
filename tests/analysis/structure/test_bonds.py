"""Bond integrity on bonds broken by hand."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.site.test_chemistry import FAR, hop
from analysis.synthetic import Jiggle, make_box, make_trajectory
from analysis.zinc_site import SECOND, make_site, slide

from orbmm.analysis import compute_bonds
from orbmm.analysis.result import NothingToMeasure

HYDROGEN = 22 + 3 * 7 + 1  # H1 of the eighth water


def pull_hydrogen(factor: float, frames: slice) -> md.Trajectory:
    """A quiet trajectory in which one O-H bond is `factor` times as long in some frames."""
    trajectory = make_trajectory(Jiggle(frames=20, shake_nm=0.0))
    oxygen, hydrogen = trajectory.xyz[frames, HYDROGEN - 1], trajectory.make_molecules_whole().xyz[frames]
    bond = hydrogen[:, HYDROGEN] - hydrogen[:, HYDROGEN - 1]
    trajectory.xyz[frames, HYDROGEN] = oxygen + factor * bond
    return trajectory


def test_a_bond_that_breaks_is_counted_and_named() -> None:
    result = compute_bonds(pull_hydrogen(1.7, slice(12, 15)))
    assert result.values["broken"].tolist() == [0] * 12 + [1] * 3 + [0] * 5
    assert result.number("broken_ever") == 1 and result.number("broken_at_end") == 0
    assert result.values["broken_names"].tolist() == ["HOH10-O HOH10-H1"]
    assert result.number("ratio_largest") == pytest.approx(1.7, rel=1e-4)
    assert result.number("broken_molecules") == 1


def test_a_proton_that_another_oxygen_takes_is_transferred_and_not_broken() -> None:
    site = make_site(10)
    hop(site, slice(4, 8))
    result = compute_bonds(site)
    assert result.values["transferred"].tolist() == [0] * 4 + [1] * 4 + [0] * 2
    assert result.number("broken_ever") == result.number("stretched_fraction") == 0
    slide(site, SECOND, FAR, slice(4, 8))  # nobody is there to take it
    assert compute_bonds(site).number("broken_ever") > 0


def test_two_broken_bonds_of_one_molecule_are_one_broken_molecule() -> None:
    moving = make_trajectory(Jiggle(frames=4, shake_nm=0.0)).make_molecules_whole()
    moving.xyz[2, [HYDROGEN, HYDROGEN + 1]] += 5.0 * (moving.xyz[2, HYDROGEN - 1] - moving.xyz[2, HYDROGEN])
    moving.unitcell_vectors = None
    result = compute_bonds(moving)
    assert result.number("broken_ever") == 2 and result.number("broken_molecules") == 1


def test_lengths_are_kept_against_those_of_the_start() -> None:
    moving = make_trajectory(Jiggle(frames=5, shake_nm=0.003)).make_molecules_whole()
    moving.unitcell_vectors = None
    result = compute_bonds(moving)
    first, second = result.values["atoms"].T
    lengths = 10.0 * np.linalg.norm(moving.xyz[:, first].astype(float) - moving.xyz[:, second], axis=2)
    np.testing.assert_allclose(result.values["mean_length"], lengths.mean(axis=0), rtol=1e-5)
    change = np.sqrt(((lengths - lengths[0]) ** 2).mean(axis=1))
    np.testing.assert_allclose(result.values["length_change"], change, atol=1e-5)


def test_a_stretched_bond_is_not_broken() -> None:
    result = compute_bonds(pull_hydrogen(1.3, slice(12, 15)))
    assert result.number("broken_ever") == 0 and result.values["broken_names"].size == 0
    assert result.number("stretched_fraction") == pytest.approx(3 / 20 / result.number("bonds"))


def test_the_factor_that_breaks_a_bond_can_be_chosen() -> None:
    assert compute_bonds(pull_hydrogen(1.3, slice(12, 15)), broken_factor=1.25).number("broken_ever") == 1


def test_bonds_across_the_walls_of_the_box_are_whole() -> None:
    result = compute_bonds(make_trajectory(Jiggle(frames=20)))
    assert result.number("broken_ever") == 0
    without_box = make_trajectory(Jiggle(frames=20))
    without_box.unitcell_vectors = None
    assert compute_bonds(without_box, make_box()).number("broken_ever") > 0


def test_bonds_to_hydrogen_have_mean_and_spread() -> None:
    trajectory = make_trajectory(Jiggle(frames=5, shake_nm=0.003))
    pairs = [(a.index, b.index) for a, b in trajectory.topology.bonds if "H" in (a.element.symbol, b.element.symbol)]
    lengths = 10.0 * md.compute_distances(trajectory, pairs).astype(float)
    result = compute_bonds(trajectory)
    assert result.number("xh_length") == pytest.approx(lengths.mean(), rel=1e-6)
    assert result.number("xh_spread") == pytest.approx(lengths.std(), rel=1e-4)
    assert result.number("xh_length_largest") == pytest.approx(lengths.max(), rel=1e-6)


def test_every_bond_of_peptide_and_water_is_watched(tmp_path) -> None:
    make_box(60).save(str(tmp_path / "topology.pdb"))
    topology = md.load_topology(str(tmp_path / "topology.pdb"))
    assert compute_bonds(make_trajectory(Jiggle(frames=2))).number("bonds") == 21 + 2 * 60
    assert topology.n_bonds == 21 + 2 * 60


def test_atoms_that_the_topology_leaves_unbonded_are_named() -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    trajectory.topology._bonds = [bond for bond in trajectory.topology.bonds if bond[0].residue.name != "HOH"]
    assert "180 atoms have no bonds in the topology and are not watched (first HOH" in compute_bonds(trajectory).method


def test_a_topology_without_bonds_says_what_is_needed() -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    trajectory.topology._bonds = []
    with pytest.raises(NothingToMeasure, match="CONECT"):
        compute_bonds(trajectory)


def test_chunks_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    trajectory = pull_hydrogen(2.5, slice(12, 15))
    whole = compute_bonds(trajectory)
    monkeypatch.setattr("orbmm.analysis.reading.frames._ATOMS_PER_CHUNK", 3 * trajectory.n_atoms)
    for name, value in compute_bonds(trajectory).values.items():
        np.testing.assert_array_equal(value, whole.values[name])


def test_bonds_to_a_metal_may_break() -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    before = compute_bonds(trajectory).number("bonds")
    for atom, _ in trajectory.topology.bonds:
        atom.element = md.element.zinc if atom.index == 22 else atom.element
    assert compute_bonds(trajectory).number("bonds") == before - 2
