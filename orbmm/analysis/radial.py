"""Radial distribution of water oxygens: is the liquid a liquid?"""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.frames import Frames, read_chunks, read_times
from orbmm.analysis.periodic_pairs import find_pairs, find_widths
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.units import ANGSTROM_PER_NM

LARGEST_CUTOFF_NM = 1.0
_BIN_NM = 0.005
_PEAK_HALF_WIDTH = 3  # bins on each side that the parabola takes in
_METHOD = (
    "Distances between {oxygens} water oxygens and their periodic images (k-d tree) in bins of {bin:g} angstrom over "
    "{frames} frames from {start:g} ps on, relative to the same number of oxygens spread evenly over the whole box "
    "(volume of the solute included). Peak by a parabola; coordination number: mean neighbours up to the first "
    "minimum. Up to {cutoff:.2f} angstrom; half the smallest box width is the limit."
)


def compute_water_distribution(frames: Frames, cutoff_nm: float | None = None, discard_ps: float = 0.0) -> Result:
    """O-O radial distribution of water with its first peak [Å] and coordination number.

    frames: a periodic trajectory, in memory or on disk. cutoff_nm: absent, half the smallest box width, at most 1 nm.
    Raises NothingToMeasure without two waters or a box.
    """
    oxygens = frames.topology.select("water and element O")
    if len(oxygens) < 2:
        raise NothingToMeasure("no radial distribution: there are fewer than two waters")
    return compute_distribution(frames, oxygens, cutoff_nm, discard_ps)


def compute_distribution(
    frames: Frames, atoms: NDArray[np.int64], cutoff_nm: float | None = None, discard_ps: float = 0.0
) -> Result:
    """Radial distribution among some atoms (A,), as `compute_water_distribution`.

    Raises NothingToMeasure without a box, AnalysisError for a cutoff beyond half the box or when nothing is kept.
    """
    edges: NDArray[np.float64] | None = None
    counts: NDArray[np.float64] | float = 0.0
    ideal, limit, used = 0.0, np.inf, 0
    for chunk in read_chunks(frames, atoms):
        kept = chunk[read_times(chunk) >= discard_ps]
        if kept.n_frames == 0:
            continue
        limit = min(limit, find_limit(kept))
        edges = choose_edges(limit, cutoff_nm) if edges is None else edges
        counts = counts + _count_pairs(kept, edges)
        ideal = ideal + 0.5 * len(atoms) * (len(atoms) - 1) * np.sum(1.0 / kept.unitcell_volumes.astype(float))
        used += kept.n_frames
    if edges is None:
        raise AnalysisError(f"no frame is left for the radial distribution from {discard_ps:g} ps on; discard less")
    inside = edges[1:] <= limit * (1.0 + 1e-6)  # a box that shrank along the run takes outer bins with it
    ratio = counts / (ideal * 4.0 / 3.0 * np.pi * np.diff(edges**3))
    neighbours = 2.0 * np.cumsum(counts) / (len(atoms) * used)
    radius = 0.5 * (edges[1:] + edges[:-1]) * ANGSTROM_PER_NM
    values = {"radius": radius[inside], "ratio": ratio[inside], "neighbours": neighbours[inside]}
    return _collect(values, len(atoms), used, discard_ps)


def find_limit(chunk: md.Trajectory) -> float:
    """Half the smallest box width of any frame [nm]: beyond it the nearest image is not the only one."""
    if chunk.unitcell_vectors is None:
        raise NothingToMeasure("no radial distribution: the trajectory has no box")
    return 0.5 * float(find_widths(chunk.unitcell_vectors.astype(float)).min())


def choose_edges(limit_nm: float, cutoff_nm: float | None) -> NDArray[np.float64]:
    """Edges of the bins [nm] up to the cutoff, or to the limit. Raises AnalysisError for a cutoff beyond the limit."""
    if cutoff_nm is not None and cutoff_nm > limit_nm * (1.0 + 1e-6):
        raise AnalysisError(
            f"radial distribution up to {cutoff_nm:g} nm asked, but half the smallest box width is {limit_nm:.3f} nm; "
            "ask for less (rdf_cutoff_nm)"
        )
    cutoff = min(limit_nm, LARGEST_CUTOFF_NM) if cutoff_nm is None else cutoff_nm
    return np.asarray(_BIN_NM * np.arange(int(cutoff / _BIN_NM + 1e-6) + 1))


def _count_pairs(chunk: md.Trajectory, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the pairs in each bin, over all frames."""
    counts = np.zeros(len(edges) - 1)
    for places, box in zip(chunk.xyz.astype(float), chunk.unitcell_vectors.astype(float), strict=True):
        distances = _find_distances(places, box, float(edges[-1]))
        counts += 0.5 * np.histogram(distances, bins=len(counts), range=(0.0, edges[-1]))[0]
    return counts


def _find_distances(places: NDArray[np.float64], box: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    """Distances within the cutoff from every atom (A, 3) to every other and to its images; each pair comes twice.

    By a k-d tree: time and memory grow with the number of atoms, where mdtraj's `compute_distances` goes through all
    pairs.
    """
    pairs = find_pairs(places, places, box, cutoff)
    return pairs.lengths[pairs.first != pairs.second]


def _collect(values: dict[str, NDArray[np.float64]], atoms: int, frames: int, discard_ps: float) -> Result:
    radius, ratio, neighbours = values["radius"], values["ratio"], values["neighbours"]
    peak = int(np.argmax(smooth(ratio)))
    past = np.flatnonzero((radius > radius[peak]) & (radius < 1.6 * radius[peak]))
    valley = int(past[np.argmin(smooth(ratio)[past])]) if len(past) else len(radius) - 1
    values = {
        **values,
        "atoms": np.array(atoms),
        "first_peak": np.array(find_vertex(radius, ratio, peak)),
        "first_peak_height": ratio[peak],
        "first_minimum": radius[valley],
        "coordination_number": neighbours[valley],
    }
    lengths = ("radius", "first_peak", "first_minimum")
    units = {name: "angstrom" if name in lengths else "" for name in values}
    method = _METHOD.format(
        oxygens=atoms, bin=_BIN_NM * ANGSTROM_PER_NM, frames=frames, start=discard_ps, cutoff=radius[-1]
    )
    return Result("water_distribution", method, "radius", values, units, frames)


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
    """Averages over three bins, against the noise of a short run."""
    return np.convolve(ratio, np.full(3, 1.0 / 3.0), mode="same")
