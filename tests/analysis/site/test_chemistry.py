"""Bond events, proton hops, ligand exchange and CO2, made by hand."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import CUBE, Jiggle, add_box, make_box, make_trajectory, wrap
from analysis.zinc_site import ACID, CARBON, DIOXIDE, OXYGEN, PROTON, SECOND, make_site, slide

from orbmm.analysis import (
    compute_bond_events,
    compute_carbon_dioxide,
    compute_metal_site,
    compute_protonation,
    read_plain_trajectory,
)
from orbmm.analysis.result import NothingToMeasure

FAR = np.array([0.0, 0.0, -3.0])


def hop(trajectory: md.Trajectory, frames: slice, giver: int = OXYGEN, taker: int = SECOND) -> None:
    """The proton lies 0.98 angstrom from the taker, on the line to the giver."""
    line = trajectory.xyz[0, giver] - trajectory.xyz[0, taker]
    slide(trajectory, PROTON, trajectory.xyz[0, taker] + 0.098 * line / np.linalg.norm(line), frames)


def test_a_tetrahedral_site_is_reported_as_it_was_built() -> None:
    result = compute_metal_site(make_site(3))
    assert result.values["coordination"].tolist() == [4, 4, 4]
    assert [row[0] for row in result.values["ligands_start"]] == ["HIS2-ND1", "HIS3-NE2", "HIS4-ND1", "HOH5-O"]
    assert result.number("order_mean") == pytest.approx(1.0, abs=1e-5)
    angles = result.values["angles"][np.triu_indices(4, 1)]
    np.testing.assert_allclose(angles, np.degrees(np.arccos(-1.0 / 3.0)), atol=0.01)
    for name in ("HIS2-ND1", "HOH5-O"):
        assert result.number(f"distance_{name}_mean") == pytest.approx(2.0, abs=1e-5)


def test_a_square_site_has_the_order_of_a_square() -> None:
    site = make_site()
    site.xyz[0, 1:5] = 0.2 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    expected = 1.0 - 3.0 / 8.0 * (2 * (-1.0 + 1.0 / 3.0) ** 2 + 4 * (1.0 / 3.0) ** 2)
    assert compute_metal_site(site).number("order_mean") == pytest.approx(expected, abs=1e-5)


def test_ligands_that_change_places_are_an_exchange() -> None:
    site = make_site(20)
    bound = site.xyz[0, OXYGEN].copy()
    slide(site, OXYGEN, 1.25 * bound, slice(5, 8))  # 2.5 angstrom: still held, by hysteresis
    slide(site, OXYGEN, 1.5 * bound, slice(8, 20))
    slide(site, SECOND, 1.25 * bound, slice(8, 12))  # not yet near enough to become a ligand
    slide(site, SECOND, bound, slice(12, 20))
    result = compute_metal_site(site)
    assert result.values["exchanges"].tolist() == [["0.8", "lost", "HOH5-O"], ["1.2", "gained", "HOH6-O"]]
    assert result.values["coordination"].tolist() == [4] * 8 + [3] * 4 + [4] * 8
    assert result.values["ligands_end"][:, 0].tolist() == ["HIS2-ND1", "HIS3-NE2", "HIS4-ND1", "HOH6-O"]
    assert result.values["distance_HOH5-O"][10] == pytest.approx(3.0, abs=1e-4)


def test_a_site_torn_apart_by_the_walls_of_the_box_is_the_same() -> None:
    site = make_site(2)
    moved = md.Trajectory(wrap(site.xyz.astype(float) + [0.7, 0.0, 1.45], 3.0 * CUBE), site.topology, time=site.time)
    torn = compute_metal_site(add_box(moved, 3.0 * CUBE))
    whole = compute_metal_site(site)
    np.testing.assert_allclose(torn.values["angles"], whole.values["angles"], atol=0.01)
    assert torn.values["ligands_start"].tolist() == whole.values["ligands_start"].tolist()


def test_a_proton_that_hops_from_the_bound_water_leaves_hydroxide() -> None:
    site = make_site(20)
    hop(site, slice(9, 20))
    result = compute_protonation(site)
    assert result.values["hops"].tolist() == [["0.9", "HOH5-H1", "HOH5-O", "HOH6-O"]]
    assert result.values["metal_oxygen"].tolist() == [["HOH5-O", "water"], ["HOH5-O", "hydroxide"]]
    assert result.values["metal_protons"][0] == 2 and result.values["metal_protons"][-1] == 1
    assert result.values["hydronium"][-1] == 1 and result.values["hydronium"][0] == 0


def test_a_proton_that_only_visits_has_not_hopped() -> None:
    site = make_site(20, frame_ps=0.01)
    hop(site, slice(9, 12))
    assert compute_protonation(site, persistence_ps=0.05).number("hop_count") == 0
    assert compute_protonation(site, persistence_ps=0.01).number("hop_count") == 2  # there and back


def test_a_shared_proton_stays_with_its_owner() -> None:
    site = make_site(20)
    middle = 0.5 * (site.xyz[0, OXYGEN] + site.xyz[0, SECOND])
    slide(site, PROTON, middle + 0.05 * (site.xyz[0, SECOND] - middle), slice(5, 20))
    assert compute_protonation(site).number("hop_count") == 0


def test_a_hop_at_the_very_end_is_counted_as_unconfirmed() -> None:
    site = make_site(10)
    hop(site, slice(9, 10))
    result = compute_protonation(site)
    assert result.number("hop_count") == 0 and result.number("unconfirmed") == 1


def test_a_carboxylate_that_takes_a_proton_is_a_group_that_changes() -> None:
    site = make_site(10)
    slide(site, PROTON, site.xyz[0, ACID] + [-0.098, 0.0, 0.0], slice(4, 10))
    result = compute_protonation(site)
    assert result.values["groups"][:, 0].tolist() == ["HIS2", "HIS3", "HIS4", "GLU7"]
    assert result.values["protons_GLU7"].tolist() == [0] * 5 + [1] * 5  # confirmed one frame later
    assert [name for name in result.values if name.startswith("protons_")] == ["protons_GLU7"]


def test_a_quiet_box_has_no_hops_and_no_events() -> None:
    moving = make_trajectory(Jiggle(frames=10))
    protons, bonds = compute_protonation(moving), compute_bond_events(moving)
    assert protons.number("hop_count") == protons.number("hydronium_largest") == protons.number("hydroxide_end") == 0
    assert bonds.number("event_count") == 0 and bonds.number("bonds_start") == 21 + 2 * 60


def test_a_hop_is_one_bond_broken_and_one_formed() -> None:
    site = make_site(60)
    hop(site, slice(20, 60))
    result = compute_bond_events(site, persistence_ps=1.0)
    rows = [row[:4] for row in result.values["events"].tolist()]
    assert rows == [["2", "broken", "HOH5-O", "HOH5-H1"], ["2", "formed", "HOH5-H1", "HOH6-O"]]
    assert result.values["formed"][-1] == result.values["broken"][-1] == 1


def test_an_event_is_confirmed_when_the_average_says_so() -> None:
    """1 - exp(-t / tau) > 0.6 from the 10th frame of 0.1 ps on: 0.917 ps after the change."""
    site = make_site(60)
    hop(site, slice(20, 60))
    confirmed = [float(row[4]) for row in compute_bond_events(site, persistence_ps=1.0).values["events"].tolist()]
    assert confirmed == pytest.approx([2.9, 2.9])
    assert 1.0 - np.exp(-0.9) < 0.6 < 1.0 - np.exp(-1.0)


def test_a_short_contact_is_no_event_and_frames_far_apart_count_at_once() -> None:
    site = make_site(60)
    hop(site, slice(20, 26))
    assert compute_bond_events(site, persistence_ps=1.0).number("event_count") == 0
    assert compute_bond_events(site, persistence_ps=0.02).number("event_count") == 4


def test_bonds_across_the_walls_are_no_events() -> None:
    moving = make_trajectory(Jiggle(frames=4))
    moving.unitcell_vectors = None
    assert compute_bond_events(moving, persistence_ps=0.001).number("event_count") > 0


def test_carbon_dioxide_becomes_bicarbonate() -> None:
    site = make_site(10)
    slide(site, SECOND, site.xyz[0, DIOXIDE] + [0.0, 0.136, 0.0], slice(5, 10))
    result = compute_carbon_dioxide(site)
    assert result.values["oxygens"].tolist() == [2] * 5 + [3] * 5
    assert result.values["state"].tolist() == [["carbon dioxide", "carbonate or bicarbonate"]]
    assert result.number("to_metal_start") == pytest.approx(4.2, abs=1e-4)
    assert result.number("nearest_oxygen_smallest") == pytest.approx(1.36, abs=1e-4)


def test_a_carboxylate_is_no_carbon_dioxide() -> None:
    site = make_site()
    slide(site, DIOXIDE, FAR, slice(None))
    assert {site.topology.atom(CARBON + i).residue.name for i in range(3)} == {"GLU"}
    with pytest.raises(NothingToMeasure, match="no carbon has just two oxygens"):
        compute_carbon_dioxide(site)


@pytest.mark.parametrize("measure", [compute_metal_site, compute_carbon_dioxide])
def test_a_dipeptide_has_no_site(measure) -> None:
    with pytest.raises(NothingToMeasure, match="^(the topology has no Zn|no carbon has just two oxygens)"):
        measure(make_box())


def test_the_site_of_the_published_start_is_reported_right(shared_structures: Path) -> None:
    """Zinc with the histidines 94, 96 and 119 and one water; CO2 in the pocket; from the file's notes and by eye."""
    start = shared_structures / "3ks3_prepared_co2"
    frames = read_plain_trajectory(start.with_suffix(".xyz"), start.with_suffix(".pdb")).frames
    site = compute_metal_site(frames)
    assert site.values["ligands_start"][:, 0].tolist() == ["HIS94-NE2", "HIS96-NE2", "HIS119-ND1", "HOH402-O"]
    assert site.values["coordination"].tolist() == [4] and site.number("order_mean") > 0.95
    protons = compute_protonation(frames)
    assert protons.values["metal_oxygen"][0].tolist() == ["HOH402-O", "water"]
    dioxide = compute_carbon_dioxide(frames)
    assert "CO2744" in dioxide.method and dioxide.values["state"][0, 0] == "carbon dioxide"
    assert dioxide.number("to_metal_start") == pytest.approx(4.21, abs=0.01)


def test_the_published_start_without_a_proton_has_hydroxide(shared_structures: Path) -> None:
    start = shared_structures / "3ks3_prepared_co2"
    whole = md.load_xyz(str(start.with_suffix(".xyz")), top=read_plain_trajectory(
        start.with_suffix(".xyz"), start.with_suffix(".pdb")).start.topology)  # fmt: skip
    names = [str(atom) for atom in whole.topology.atoms]
    without = whole.atom_slice([i for i, name in enumerate(names) if name != "HOH402-H1"])
    assert compute_protonation(without).values["metal_oxygen"][0].tolist() == ["HOH402-O", "hydroxide"]
