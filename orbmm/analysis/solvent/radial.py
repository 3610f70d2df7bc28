"""Radial distributions of water: oxygens around oxygens, and hydrogens around the oxygens of other waters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.pairs import find_pairs, find_widths
from orbmm.analysis.pieces import Piece, map_frames
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.kinds import find_water_oxygens, find_waters, is_hydrogen
from orbmm.units import ANGSTROM_PER_NM

LARGEST_CUTOFF_NM = 1.0
_BIN_NM = 0.005
_PEAK_HALF_WIDTH = 3  # bins on each side that the parabola takes in
_OXYGENS = (
    "Distances between {oxygens} water oxygens and their periodic images (k-d tree) in bins of {bin:g} Å over "
    "all frames from {start:g} ps on, relative to the same number of oxygens spread evenly over the whole box "
    "(volume of the solute included). Peak by a parabola; coordination number: mean neighbours up to the first "
    "minimum. Up to {cutoff:.2f} Å; half the smallest box width is the limit."
)
_HYDROGEN_BOND_NM = (0.14, 0.225)  # where the peak of hydrogen bonds is looked for
_HYDROGENS = (
    "Distances from {oxygens} water oxygens to the hydrogens of other waters and their periodic images (k-d tree) over "
    "all frames from {start:g} ps on, relative to the same number of hydrogens spread evenly over the whole box "
    "(volume of the solute included). Coordination number: mean hydrogens up to the first minimum."
)


def compute_rdf_oo(frames: Frames, cutoff_nm: float | None = None, discard_ps: float = 0.0) -> Result:
    """Compute the O-O radial distribution of water with its first peak [Å] and coordination number.

    frames: a periodic trajectory, in memory or on disk. cutoff_nm: absent, half the smallest box width, at most 1 nm.
    Raises NothingToMeasure without two waters, a box, or enough neighbours for a peak.
    """
    oxygens = find_water_oxygens(frames.topology)
    if len(oxygens) < 2:
        raise NothingToMeasure("there are fewer than two waters")
    return compute_distribution(frames, oxygens, cutoff_nm, discard_ps)


def compute_distribution(
    frames: Frames, atoms: NDArray[np.int64], cutoff_nm: float | None = None, discard_ps: float = 0.0
) -> Result:
    """Compute the radial distribution among some atoms (A,), as `compute_rdf_oo`.

    Raises NothingToMeasure without a box or a peak, AnalysisError for a cutoff beyond half the box or when nothing is
    kept.
    """

    sums = _PairSums(cutoff_nm, pairs=0.5 * len(atoms) * (len(atoms) - 1))
    sums.add_frames(frames, atoms, discard_ps, _count_alike)
    values = sums.compute_curves(centres=0.5 * len(atoms))
    radius, ratio = values["radius"], values["ratio"]
    values = {**values, "atoms": np.array(len(atoms)), **_find_extrema(values, int(np.argmax(smooth(ratio))))}
    method = _OXYGENS.format(oxygens=len(atoms), bin=_BIN_NM * ANGSTROM_PER_NM, start=discard_ps, cutoff=radius[-1])
    return Result("rdf_oo", method, "radius", values, _list_units(values), sums.frames)


def compute_rdf_oh(frames: Frames, cutoff_nm: float | None = None, discard_ps: float = 0.0) -> Result:
    """Compute the O-H radial distribution between different waters, its first peak [Å] and coordination number.

    frames: a periodic trajectory, in memory or on disk. cutoff_nm: absent, half the smallest box width, at most 1 nm.
    Raises NothingToMeasure without two waters with hydrogens, a box, or hydrogens at the distance of a hydrogen bond;
    AnalysisError when nothing is kept.
    """
    water = find_waters(frames.topology)
    atoms = [frames.topology.atom(int(index)) for index in water]
    oxygen = np.array([atom.element.symbol == "O" for atom in atoms], dtype=bool)
    hydrogen = np.array([is_hydrogen(atom) for atom in atoms], dtype=bool)
    owner = np.array([atom.residue.index for atom in atoms])
    if oxygen.sum() < 2 or not hydrogen.any():
        raise NothingToMeasure("there are fewer than two waters with hydrogens")
    own = int(np.isin(owner[hydrogen], owner[oxygen]).sum())  # each beside the one oxygen of its water

    count = partial(_count_between, oxygen=oxygen, hydrogen=hydrogen, owner=owner)
    sums = _PairSums(cutoff_nm, pairs=int(oxygen.sum()) * int(hydrogen.sum()) - own)
    sums.add_frames(frames, water, discard_ps, count)
    values = sums.compute_curves(centres=int(oxygen.sum()))
    radius = values["radius"]
    bonding = (radius > _HYDROGEN_BOND_NM[0] * ANGSTROM_PER_NM) & (radius < _HYDROGEN_BOND_NM[1] * ANGSTROM_PER_NM)
    if not bonding.any():
        raise NothingToMeasure("the box is too small for a hydrogen bond")
    peak = int(np.flatnonzero(bonding)[np.argmax(smooth(values["ratio"])[bonding])])
    values = {**values, **_find_extrema(values, peak)}
    method = _HYDROGENS.format(oxygens=int(oxygen.sum()), start=discard_ps)
    return Result("rdf_oh", method, "radius", values, _list_units(values), sums.frames)


Box = NDArray[np.float64] | None
Counts = NDArray[Any]
"""Pairs in each bin (B,)."""
Count = Callable[..., Counts]
"""Counts the pairs of one frame: of positions (A, 3) and a box (3, 3) [nm], with the edges (B + 1,) of the bins."""


def _count_alike(positions: NDArray[np.float64], box: Box, edges: NDArray[np.float64]) -> Counts:
    """Return the pairs among positions (A, 3) [nm] in each bin (B,). edges: (B + 1,) [nm]"""
    distances = _find_distances(positions, box, float(edges[-1]))
    return 0.5 * np.histogram(distances, bins=len(edges) - 1, range=(0.0, edges[-1]))[0]


def _count_between(
    positions: NDArray[np.float64],
    box: Box,
    edges: NDArray[np.float64],
    oxygen: NDArray[np.bool_],
    hydrogen: NDArray[np.bool_],
    owner: NDArray[np.int64],
) -> Counts:
    """Return the pairs of an oxygen and a hydrogen of another residue in each bin (B,). owner: (A,), the residue"""
    found = find_pairs(positions[oxygen], positions[hydrogen], box, float(edges[-1]))
    between = owner[oxygen][found.first] != owner[hydrogen][found.second]
    return np.histogram(found.lengths[between], bins=edges)[0]


def _count_frames(piece: Piece, count: Count, edges: NDArray[np.float64]) -> Counts:
    """Return the pairs of all frames in each bin (B,): whole or half numbers, whose sum is exact in any order."""
    frames = (count(positions, box, edges) for _, positions, box in piece.iterate_frames())
    return np.sum(list(frames), axis=0)


class _PairSums:
    """Pairs by distance, summed over frames, and their number if the atoms were spread evenly."""

    def __init__(self, cutoff_nm: float | None, pairs: float) -> None:
        """cutoff_nm: None for half the smallest box width; pairs: of atoms that are counted, in one frame."""
        self._cutoff = cutoff_nm
        self._pairs = pairs
        self._edges: NDArray[np.float64] | None = None
        self._counts: NDArray[np.float64] | float = 0.0
        self._ideal, self._limit, self.frames = 0.0, np.inf, 0

    def add_frames(
        self,
        frames: Frames,
        atoms: NDArray[np.int64],
        discard_ps: float,
        count: Count,
    ) -> None:
        """Add all frames from a time on. Raises AnalysisError if there are none."""
        chunks = self._keep(read_chunks(frames, atoms), discard_ps)
        first = next(chunks, None)
        if first is None:
            raise AnalysisError(f"no frame is left for the radial distribution from {discard_ps:g} ps on; discard less")
        self._edges = choose_edges(self._limit, self._cutoff)
        count_frames = partial(_count_frames, count=count, edges=self._edges)
        for counts in map_frames(frames, count_frames, chain([first], chunks)):
            self._counts = self._counts + counts

    def _keep(self, chunks: Iterable[md.Trajectory], discard_ps: float) -> Iterator[md.Trajectory]:
        """Yield the frames from a time on, and add up what their boxes say."""
        for chunk in chunks:
            kept = chunk[read_times(chunk) >= discard_ps]
            if kept.n_frames == 0:
                continue
            self._limit = min(self._limit, find_limit(kept))
            self._ideal = self._ideal + self._pairs * np.sum(1.0 / kept.unitcell_volumes.astype(float))
            self.frames += kept.n_frames
            yield kept

    def compute_curves(self, centres: float) -> dict[str, NDArray[np.float64]]:
        """Return radius [Å], ratio to the even distribution, and neighbours within the radius, each (B,).

        centres: atoms that have neighbours, so that a pair counts once for each.
        """
        edges = np.asarray(self._edges)
        inside = edges[1:] <= self._limit * (1.0 + 1e-6)  # a box that shrank along the run removes outer bins
        return {
            "radius": (0.5 * (edges[1:] + edges[:-1]) * ANGSTROM_PER_NM)[inside],
            "ratio": (self._counts / (self._ideal * 4.0 / 3.0 * np.pi * np.diff(edges**3)))[inside],
            "neighbours": (np.cumsum(self._counts) / (centres * self.frames))[inside],
        }


def find_limit(chunk: md.Trajectory) -> float:
    """Return half the smallest box width of any frame [nm]: beyond it the nearest image is not the only one."""
    if chunk.unitcell_vectors is None:
        raise NothingToMeasure("the trajectory has no box")
    return 0.5 * float(find_widths(chunk.unitcell_vectors.astype(float)).min())


def choose_edges(limit_nm: float, cutoff_nm: float | None) -> NDArray[np.float64]:
    """Return edges of the bins [nm] up to the cutoff, or to the limit.

    Raises AnalysisError for a cutoff beyond the limit.
    """
    if cutoff_nm is not None and cutoff_nm > limit_nm * (1.0 + 1e-6):
        raise AnalysisError(
            f"radial distribution up to {cutoff_nm:g} nm asked, but half the smallest box width is {limit_nm:.3f} nm; "
            "ask for less (rdf_cutoff_nm)"
        )
    cutoff = min(limit_nm, LARGEST_CUTOFF_NM) if cutoff_nm is None else cutoff_nm
    return np.asarray(_BIN_NM * np.arange(int(cutoff / _BIN_NM + 1e-6) + 1))


def _find_distances(positions: NDArray[np.float64], box: Box, cutoff: float) -> NDArray[np.float64]:
    """Return distances within the cutoff from every atom (A, 3) to every other and to its images; each pair comes
    twice.

    By a k-d tree: time and memory grow with the number of atoms, where mdtraj's `compute_distances` goes through all
    pairs.
    """
    pairs = find_pairs(positions, positions, box, cutoff)
    return pairs.lengths[pairs.first != pairs.second]


def _find_extrema(values: dict[str, NDArray[np.float64]], peak: int) -> dict[str, NDArray[np.float64]]:
    """Return the first peak, refined by a parabola, the minimum after it, and the neighbours up to there.

    peak: the bin whose average with both its neighbours is largest
    Raises NothingToMeasure where all three are empty: there is no peak.
    """
    radius, ratio = values["radius"], values["ratio"]
    if ratio[peak] == 0.0:  # of so few pairs, or of a lattice, that a bin beside it holds them
        first = max(0, peak - 1)
        peak = first + int(np.argmax(ratio[first : peak + 2]))
    if ratio[peak] == 0.0:
        raise NothingToMeasure("there are too few neighbours for a first peak")
    past = np.flatnonzero((radius > radius[peak]) & (radius < 1.6 * radius[peak]))
    valley = int(past[np.argmin(smooth(ratio)[past])]) if len(past) else len(radius) - 1
    return {
        "first_peak": np.array(find_vertex(radius, ratio, peak)),
        "first_peak_height": ratio[peak],
        "first_minimum": radius[valley],
        "coordination_number": values["neighbours"][valley],
    }


def _list_units(values: dict[str, NDArray[np.float64]]) -> dict[str, str]:
    return {name: "angstrom" if name in ("radius", "first_peak", "first_minimum") else "" for name in values}


def find_vertex(position: NDArray[np.float64], height: NDArray[np.float64], peak: int) -> float:
    """Return the vertex of the least-squares parabola through a peak and its neighbours.

    Returns the peak itself when the parabola opens up or has fewer than three points.
    """
    near = slice(max(0, peak - _PEAK_HALF_WIDTH), peak + _PEAK_HALF_WIDTH + 1)
    if len(position[near]) < 3:
        return float(position[peak])
    curvature, slope, _ = np.polyfit(position[near] - position[peak], height[near], 2)
    vertex = -0.5 * slope / curvature if curvature < 0.0 else 0.0
    width = position[near][-1] - position[near][0]
    return float(position[peak] + np.clip(vertex, -0.5 * width, 0.5 * width))


def smooth(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return averages over three bins, against the noise of a short run."""
    return np.convolve(ratio, np.full(3, 1.0 / 3.0), mode="same")
