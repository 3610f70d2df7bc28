"""Density, O-H distribution, diffusion and hydrogen bonds of waters whose answers are known."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import CUBE, SKEWED, Jiggle, add_box, make_box, make_trajectory, wrap

from orbmm.analysis import compute_density, compute_diffusion, compute_hydrogen_bonds, compute_rdf_oh
from orbmm.analysis.reading.frames import iterate_frames
from orbmm.analysis.result import NothingToMeasure
from orbmm.analysis.solvent.hydrogen_bonds import find_hydrogen_bonds, list_acceptors, list_donors
from orbmm.settings import RunSettings

WATERS = 200


def make_waters(waters: int = WATERS) -> md.Topology:
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(waters):
        residue = topology.add_residue("HOH", chain)
        for name in ("O", "H1", "H2"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    topology.create_standard_bonds()
    return topology


def walk(frames: int, coefficient: float, box: np.ndarray, frame_ps: float = 0.1) -> md.Trajectory:
    """Waters that walk at random with a diffusion coefficient [nm^2/ps], wrapped into the box atom by atom."""
    rng = np.random.default_rng(5)
    steps = np.sqrt(2.0 * coefficient * frame_ps) * rng.normal(size=(frames, WATERS, 1, 3))
    positions = rng.random((1, WATERS, 1, 3)) @ box + np.cumsum(steps, axis=0)
    inner = np.array([[0.0, 0.0, 0.0], [0.0757, 0.0586, 0.0], [-0.0757, 0.0586, 0.0]])
    xyz = wrap((positions + inner).reshape(frames, -1, 3), box)
    return add_box(md.Trajectory(xyz, make_waters(), time=frame_ps * np.arange(frames)), box)


def test_density_is_mass_over_volume() -> None:
    trajectory = make_trajectory(Jiggle(frames=3, box=SKEWED))
    result = compute_density(trajectory)
    mass = sum(atom.element.mass for atom in trajectory.topology.atoms)
    assert result.number("density_mean") == pytest.approx(
        mass / 6.02214076e23 / np.linalg.det(SKEWED) / 1e-21, rel=1e-6
    )
    np.testing.assert_allclose(result.values["density"] * 1000.0, md.density(trajectory), rtol=1e-4)


def test_density_without_a_box_is_left_out() -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    trajectory.unitcell_vectors = None
    with pytest.raises(NothingToMeasure, match="no box"):
        compute_density(trajectory)


@pytest.mark.parametrize("box", [CUBE, SKEWED], ids=["cube", "skewed"])
def test_a_random_walk_has_its_diffusion_coefficient(box: np.ndarray) -> None:
    result = compute_diffusion(walk(600, 2.3e-3, box))
    assert result.number("coefficient") == pytest.approx(2.3, abs=3.0 * result.number("coefficient_error") + 0.05)
    assert result.number("coefficient") == pytest.approx(2.3, rel=0.1) and result.number("converged") == 1
    displacement = result.values["displacement"]
    np.testing.assert_allclose(displacement[1:6], 6.0 * 0.23 * 0.1 * np.arange(1, 6), rtol=0.05)


def test_the_displacement_is_that_of_the_unwrapped_path() -> None:
    box, frames = SKEWED, 40
    trajectory = walk(frames, 2e-3, box)
    steps = np.diff(trajectory.xyz[:, ::3].astype(float), axis=0) @ np.linalg.inv(box)
    path = np.concatenate([np.zeros((1, WATERS, 3)), np.cumsum((steps - np.round(steps)) @ box, axis=0)])
    expected = [100.0 * ((path[lag:] - path[: frames - lag]) ** 2).sum(axis=2).mean() for lag in range(frames // 2 + 1)]
    np.testing.assert_allclose(compute_diffusion(trajectory).values["displacement"], expected, rtol=1e-4, atol=1e-6)


def test_the_finite_size_term_is_the_published_one() -> None:
    """Yeh and Hummer: kT xi / (6 pi eta L); by hand for 300 K, 0.8538 mPa s and a cube of 1.5 nm."""
    by_hand = 1.380649e-23 * 300.0 * 2.837297 / (6.0 * np.pi * 0.8538e-3 * 1.5e-9) / 1e-9
    result = compute_diffusion(walk(30, 2e-3, CUBE))
    assert result.number("finite_size_term") == pytest.approx(by_hand, rel=1e-5)
    assert result.number("corrected") == result.number("coefficient") + result.number("finite_size_term")


def test_a_short_walk_says_that_its_number_means_little() -> None:
    result = compute_diffusion(walk(20, 2e-3, CUBE))
    assert result.number("converged") == 0 and "too short for diffusion" in result.method
    with pytest.raises(NothingToMeasure, match="at least 10"):
        compute_diffusion(walk(5, 2e-3, CUBE))


def test_frames_at_unequal_intervals_are_refused() -> None:
    trajectory = walk(30, 2e-3, CUBE)
    trajectory.time[20:] += 0.5
    with pytest.raises(NothingToMeasure, match="not at equal intervals"):
        compute_diffusion(trajectory)


def test_hydrogens_of_an_ideal_gas_are_evenly_distributed() -> None:
    rng = np.random.default_rng(3)
    gas = md.Trajectory((rng.random((30, 3 * WATERS, 3)) * 3.0) @ SKEWED, make_waters())
    result = compute_rdf_oh(add_box(gas, SKEWED))
    ratio, radius = result.values["ratio"], result.values["radius"]
    assert np.average(ratio, weights=radius**2) == pytest.approx(1.0, abs=0.005)
    sphere = 4.0 / 3.0 * np.pi * ((radius[-1] + 0.025) / 10.0) ** 3
    expected = 2.0 * (WATERS - 1) * sphere / np.linalg.det(SKEWED)
    assert result.values["neighbours"][-1] == pytest.approx(expected, rel=0.01)


def test_waters_without_a_hydrogen_bond_have_no_peak_of_one() -> None:
    steam = md.Trajectory(np.zeros((1, 6, 3)), make_waters().subset(range(6)))
    steam.xyz[0] = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [6, 0, 0], [7, 0, 0], [6, 1, 0]]) / 10.0
    with pytest.raises(NothingToMeasure, match="too few neighbours"):
        compute_rdf_oh(add_box(steam, 2.0 * CUBE))


def test_the_hydrogen_distribution_is_that_of_mdtraj() -> None:
    water = make_trajectory(Jiggle(frames=3)).atom_slice(range(22, 202))
    result = compute_rdf_oh(water)
    pairs = [(a.index, b.index) for a in water.topology.atoms for b in water.topology.atoms
             if a.element.symbol == "O" and b.element.symbol == "H" and a.residue is not b.residue]  # fmt: skip
    bins = len(result.values["radius"])
    _, ratio = md.compute_rdf(water, np.array(pairs), r_range=(0.0, 0.005 * bins), n_bins=bins)
    np.testing.assert_allclose(result.values["ratio"], ratio, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("box", [CUBE, SKEWED], ids=["cube", "skewed"])
def test_hydrogen_bonds_are_those_of_mdtraj(box: np.ndarray) -> None:
    frame = make_trajectory(Jiggle(frames=2, box=box))[1]
    _, positions, box_there = next(iterate_frames(frame))
    found = find_hydrogen_bonds(positions, box_there, list_donors(frame.topology), list_acceptors(frame.topology))
    expected = md.baker_hubbard(frame, freq=0.0, exclude_water=False, periodic=True)
    assert {tuple(row) for row in found.tolist()} == {tuple(row) for row in expected.tolist()}
    assert len(found) > 3


def test_one_bond_is_counted_until_the_hydrogen_turns_away() -> None:
    """Two waters 2.9 angstrom apart: the hydrogen points at the other oxygen, then sideways."""
    inner = np.array([[0.0, 0.0, 0.0], [0.096, 0.0, 0.0], [-0.024, 0.093, 0.0]])
    turned = inner @ np.array([[-0.64, 0.77, 0.0], [-0.77, -0.64, 0.0], [0.0, 0.0, 1.0]])  # by 130 degrees
    acceptor = np.array([[0.29, 0.0, 0.0], [0.35, 0.0, 0.075], [0.35, 0.0, -0.075]])
    xyz = np.array([np.concatenate([water, acceptor]) for water in (inner, turned)])
    result = compute_hydrogen_bonds(md.Trajectory(xyz, make_waters(2)))
    assert result.values["water_water"].tolist() == [1, 0]
    assert result.number("per_water") == 0.5


def test_bonds_are_told_apart_by_their_partners() -> None:
    result = compute_hydrogen_bonds(make_trajectory(Jiggle(frames=5)))
    columns = result.values["water_water"] + result.values["solute_water"] + result.values["solute_solute"]
    trajectory = make_trajectory(Jiggle(frames=5))
    expected = [len(md.baker_hubbard(frame, freq=0.0, exclude_water=False)) for frame in trajectory]
    assert columns.tolist() == expected


def test_the_bath_of_a_run_is_that_of_the_finite_size_term() -> None:
    assert RunSettings().temperature_kelvin == 300.0  # the default of compute_diffusion


def test_without_water_there_is_no_solvent_to_measure() -> None:
    dry = make_box(0)
    for measure in (compute_diffusion, compute_rdf_oh):
        with pytest.raises(NothingToMeasure, match="there is no water|fewer than two waters"):
            measure(dry)
