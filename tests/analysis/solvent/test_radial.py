"""Radial distributions of an ideal gas and of a lattice, which are known exactly."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import CUBE, DODECAHEDRON, SKEWED, add_box, make_box
from numpy.typing import NDArray

from orbmm.analysis import compute_rdf_oo
from orbmm.analysis.result import NothingToMeasure
from orbmm.analysis.solvent.radial import compute_distribution, find_vertex
from orbmm.errors import AnalysisError

EDGE = 4 * 0.43  # nm, of four cells of the lattice below


def make_oxygens(xyz: NDArray[np.float64], box: NDArray[np.float64]) -> md.Trajectory:
    """Frames (F, N, 3) of lone water oxygens."""
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(xyz.shape[1]):
        topology.add_atom("O", md.element.oxygen, topology.add_residue("HOH", chain))
    return add_box(md.Trajectory(xyz, topology), box)


def scatter_gas(box: NDArray[np.float64], frames: int = 20, atoms: int = 250) -> md.Trajectory:
    """Places without any order, some of them several boxes away."""
    rng = np.random.default_rng(3)
    return make_oxygens((rng.random((frames, atoms, 3)) + rng.integers(-2, 3, (frames, atoms, 3))) @ box, box)


def build_lattice(shake_nm: float) -> md.Trajectory:
    """A face-centred cubic lattice of 256 atoms, nearest neighbours 0.30406 nm apart."""
    cells = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 1, 3)
    corners = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    xyz = (cells + corners).reshape(-1, 3) * 0.43
    return make_oxygens(xyz + shake_nm * np.random.default_rng(0).normal(size=(20, 256, 3)), np.eye(3) * EDGE)


@pytest.mark.parametrize("box", [CUBE, DODECAHEDRON, SKEWED], ids=["cube", "dodecahedron", "skewed"])
def test_an_ideal_gas_is_evenly_distributed(box: NDArray[np.float64]) -> None:
    result = compute_rdf_oo(scatter_gas(box))
    radius, ratio = result.values["radius"], result.values["ratio"]
    pairs = 20 * 0.5 * 250 * 249 * 4.0 * np.pi * (radius / 10.0) ** 2 * 0.005 / np.linalg.det(box)
    far = pairs > 100.0
    np.testing.assert_array_less(np.abs(ratio - 1.0)[far], 5.0 / np.sqrt(pairs[far]))
    assert np.average(ratio, weights=pairs) == pytest.approx(1.0, abs=0.01)


def test_a_gas_in_half_of_the_box_is_not() -> None:
    gas = scatter_gas(CUBE)
    gas.xyz[:] = np.mod(gas.xyz, 1.5) * [0.5, 1.0, 1.0]
    ratio = compute_rdf_oo(gas).values["ratio"]
    assert ratio[20:40].mean() > 1.2


def test_neighbours_of_an_ideal_gas_fill_the_sphere() -> None:
    result = compute_rdf_oo(scatter_gas(CUBE))
    outer = (result.values["radius"][-1] + 0.025) / 10.0
    expected = 249 * 4.0 / 3.0 * np.pi * outer**3 / 1.5**3
    assert result.values["neighbours"][-1] == pytest.approx(expected, rel=0.01)


def test_the_distribution_is_that_of_mdtraj() -> None:
    gas = scatter_gas(SKEWED, frames=5)
    result = compute_rdf_oo(gas)
    bins = len(result.values["radius"])
    pairs = gas.topology.select_pairs("all", "all")
    radius, ratio = md.compute_rdf(gas, pairs, r_range=(0.0, 0.005 * bins), n_bins=bins)
    np.testing.assert_allclose(result.values["radius"], 10.0 * radius)
    np.testing.assert_allclose(result.values["ratio"], ratio, rtol=1e-5)


def test_a_lattice_has_its_peak_and_its_twelve_neighbours() -> None:
    result = compute_rdf_oo(build_lattice(0.006))
    assert result.number("first_peak") == pytest.approx(4.3 / np.sqrt(2.0), abs=0.01)
    assert result.number("coordination_number") == pytest.approx(12.0, abs=0.01)


def test_every_shell_of_a_lattice_is_counted() -> None:
    result = compute_rdf_oo(build_lattice(0.0))
    between = [float(result.values["neighbours"][np.searchsorted(result.values["radius"], r)]) for r in (3.6, 4.8, 5.7)]
    assert between == [12.0, 18.0, 42.0]


def test_a_lattice_counted_without_its_images_lacks_neighbours() -> None:
    lattice = build_lattice(0.0)
    larger = make_oxygens(lattice.xyz.astype(float), np.eye(3) * 3 * EDGE)
    ratio = compute_rdf_oo(larger, cutoff_nm=0.35).values["neighbours"]
    assert ratio[-1] < 11.0


def test_the_cutoff_is_half_the_smallest_width_of_the_box() -> None:
    last = compute_rdf_oo(scatter_gas(DODECAHEDRON, 2)).values["radius"][-1]
    assert last == pytest.approx(10.0 * 1.7 * np.sqrt(0.5) / 2.0, abs=0.05)
    with pytest.raises(AnalysisError, match="half the smallest box width is 0.601 nm"):
        compute_rdf_oo(scatter_gas(DODECAHEDRON, 2), cutoff_nm=0.7)


def test_frames_before_the_cut_do_not_count() -> None:
    gas = scatter_gas(CUBE, frames=10)
    gas.time = np.arange(10) * 0.5
    assert compute_rdf_oo(gas, discard_ps=2.0).frames == 6
    with pytest.raises(AnalysisError, match="discard less"):
        compute_rdf_oo(gas, discard_ps=9.0)


def test_the_vertex_of_a_parabola_is_found_between_bins() -> None:
    position = np.arange(20) * 0.1
    height = 3.0 - (position - 1.037) ** 2
    assert find_vertex(position, height, int(np.argmax(height))) == pytest.approx(1.037)


def test_water_without_a_box_has_no_distribution() -> None:
    gas = scatter_gas(CUBE, frames=2)
    gas.unitcell_vectors = None
    with pytest.raises(NothingToMeasure, match="no box"):
        compute_rdf_oo(gas)


def test_a_dry_peptide_has_no_distribution() -> None:
    with pytest.raises(NothingToMeasure, match="fewer than two waters"):
        compute_rdf_oo(make_box(0))


def test_the_peak_of_a_perfect_lattice_is_not_an_empty_bin() -> None:
    result = compute_rdf_oo(build_lattice(0.0))
    assert result.number("first_peak_height") == result.values["ratio"].max()


def test_two_waters_that_never_meet_have_no_peak() -> None:
    apart = np.array([[[0.0, 0.0, 0.0], [1.5, 1.5, 1.5]]])  # nm, farther than the largest distance that is counted
    with pytest.raises(NothingToMeasure, match="too few neighbours"):
        compute_rdf_oo(make_oxygens(apart, 2.0 * CUBE))


def test_any_atoms_can_be_asked_for() -> None:
    gas = scatter_gas(CUBE, frames=5)
    assert compute_distribution(gas, np.arange(100)).number("atoms") == 100
