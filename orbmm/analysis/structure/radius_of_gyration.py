"""Radius of gyration of the solute: does it stay compact?"""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import Assembler, find_large_molecules
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.units import ANGSTROM_PER_NM

_METHOD = (
    "Root-mean-square distance of the {atoms} atoms of the large molecules of the solute from their centre of mass, "
    "weighted by mass, "
    "molecules made whole across the periodic box."
)


def compute_radius_of_gyration(frames: Frames) -> Result:
    """Compute radius of gyration of the solute along time, weighted by mass [Å].

    frames: a trajectory, in memory or on disk. Raises NothingToMeasure without a solute.
    """
    solute = find_large_molecules(frames.topology)
    if len(solute) == 0:
        raise NothingToMeasure("there is no molecule but water")
    masses = np.array([frames.topology.atom(int(index)).element.mass for index in solute])
    times, radii, assembler = [], [], Assembler()
    for chunk in read_chunks(frames, solute):
        times.append(read_times(chunk))
        radii.append(_measure_radii(assembler.make_whole(chunk), masses) * ANGSTROM_PER_NM)
    radius = np.concatenate(radii)
    values = {
        "time": np.concatenate(times),
        "radius": radius,
        "radius_mean": radius.mean(),
        "radius_start": radius[0],
        "radius_last": radius[-1],
        "radius_smallest": radius.min(),
        "radius_largest": radius.max(),
    }
    units = dict.fromkeys(values, "angstrom") | {"time": "ps"}
    return Result.of("radius_of_gyration", _METHOD.format(atoms=len(solute)), "time", values, units, len(radius))


def _measure_radii(chunk: md.Trajectory, masses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the radius (F,) [nm]; mdtraj's `compute_rg` takes distances from the geometric centre even with masses."""
    weights = (masses / masses.sum())[None, :, None]  # (1, A, 1)
    positions = chunk.xyz.astype(float)
    centre = (weights * positions).sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt((weights * (positions - centre) ** 2).sum(axis=(1, 2))))
