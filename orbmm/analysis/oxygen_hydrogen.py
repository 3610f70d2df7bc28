"""Radial distribution of hydrogens around the oxygens of other waters: how many hydrogen bonds has the liquid?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.frames import Frames, read_chunks, read_times
from orbmm.analysis.periodic_pairs import find_pairs
from orbmm.analysis.radial import choose_edges, find_limit, find_vertex, smooth
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.units import ANGSTROM_PER_NM

_BRIDGE_NM = (0.14, 0.225)  # where the peak of hydrogen bonds is looked for
_METHOD = (
    "Distances from {oxygens} water oxygens to the hydrogens of other waters and their periodic images (k-d tree) over "
    "{frames} frames from {start:g} ps on, relative to the same number of hydrogens spread evenly over the whole box "
    "(volume of the solute included). Coordination number: mean hydrogens up to the first minimum."
)


def compute_oxygen_hydrogen(frames: Frames, cutoff_nm: float | None = None, discard_ps: float = 0.0) -> Result:
    """O-H radial distribution between different waters, with its first peak [Å] and coordination number.

    frames: a periodic trajectory, in memory or on disk. cutoff_nm: absent, half the smallest box width, at most 1 nm.
    Raises NothingToMeasure without two waters with hydrogens or a box, AnalysisError when nothing is kept.
    """
    water = frames.topology.select("water")
    atoms = [frames.topology.atom(int(index)) for index in water]
    oxygen = np.array([atom.element.symbol == "O" for atom in atoms], dtype=bool)
    hydrogen = np.array([atom.element.symbol in ("H", "D") for atom in atoms], dtype=bool)
    owner = np.array([atom.residue.index for atom in atoms])
    if oxygen.sum() < 2 or not hydrogen.any():
        raise NothingToMeasure("no O-H radial distribution: there are fewer than two waters with hydrogens")
    own = int(np.isin(owner[hydrogen], owner[oxygen]).sum())  # each beside the one oxygen of its water
    pairs = int(oxygen.sum()) * int(hydrogen.sum()) - own
    edges: NDArray[np.float64] | None = None
    counts: NDArray[np.float64] | float = 0.0
    ideal, limit, used = 0.0, np.inf, 0
    for chunk in read_chunks(frames, water):
        kept = chunk[read_times(chunk) >= discard_ps]
        if kept.n_frames == 0:
            continue
        limit = min(limit, find_limit(kept))
        edges = choose_edges(limit, cutoff_nm) if edges is None else edges
        for places, box in zip(kept.xyz.astype(float), kept.unitcell_vectors.astype(float), strict=True):
            found = find_pairs(places[oxygen], places[hydrogen], box, float(edges[-1]))
            between = owner[oxygen][found.first] != owner[hydrogen][found.second]
            counts = counts + np.histogram(found.lengths[between], bins=edges)[0]
        ideal = ideal + pairs * np.sum(1.0 / kept.unitcell_volumes.astype(float))
        used += kept.n_frames
    if edges is None:
        raise AnalysisError(f"no frame is left for the radial distribution from {discard_ps:g} ps on; discard less")
    inside = edges[1:] <= limit * (1.0 + 1e-6)
    values = {
        "radius": (0.5 * (edges[1:] + edges[:-1]) * ANGSTROM_PER_NM)[inside],
        "ratio": (counts / (ideal * 4.0 / 3.0 * np.pi * np.diff(edges**3)))[inside],
        "neighbours": (np.cumsum(counts) / (oxygen.sum() * used))[inside],
    }
    method = _METHOD.format(oxygens=int(oxygen.sum()), frames=used, start=discard_ps)
    return _collect(values, method, used)


def _collect(values: dict[str, NDArray[np.float64]], method: str, frames: int) -> Result:
    radius, ratio = values["radius"], values["ratio"]
    bridge = (radius > _BRIDGE_NM[0] * ANGSTROM_PER_NM) & (radius < _BRIDGE_NM[1] * ANGSTROM_PER_NM)
    if not bridge.any():
        raise NothingToMeasure("no O-H radial distribution: the box is too small for a hydrogen bond")
    peak = int(np.flatnonzero(bridge)[np.argmax(smooth(ratio)[bridge])])
    past = np.flatnonzero((radius > radius[peak]) & (radius < 1.6 * radius[peak]))
    valley = int(past[np.argmin(smooth(ratio)[past])]) if len(past) else len(radius) - 1
    arrays = {
        **values,
        "first_peak": np.array(find_vertex(radius, ratio, peak)),
        "first_peak_height": ratio[peak],
        "first_minimum": radius[valley],
        "coordination_number": values["neighbours"][valley],
    }
    lengths = ("radius", "first_peak", "first_minimum")
    units = {name: "angstrom" if name in lengths else "" for name in arrays}
    return Result("oxygen_hydrogen", method, "radius", arrays, units, frames)
