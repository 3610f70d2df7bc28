"""Density of a periodic box along time."""

from __future__ import annotations

import mdtraj as md
import numpy as np

from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result

_GRAM_PER_CM3 = 1.66053906892e-3  # of one dalton in a cubic nanometre (CODATA 2022)
_METHOD = "Mass of all {atoms} atoms over the volume of the box; it is constant in a run at constant volume."


def compute_density(frames: Frames, topology: md.Topology | None = None) -> Result:
    """Compute density of the whole box along time [g/cm3].

    frames: a periodic trajectory, in memory or on disk. topology: of all atoms in the box, where the frames hold some.
    Raises NothingToMeasure without a box.
    """
    topology = topology or frames.topology
    mass = sum(atom.element.mass for atom in topology.atoms)
    times, volumes = [], []
    for chunk in read_chunks(frames, np.zeros(1, dtype=np.int64)):  # only the box is needed
        if chunk.unitcell_vectors is None:
            raise NothingToMeasure("the trajectory has no box")
        times.append(read_times(chunk))
        volumes.append(np.abs(np.linalg.det(chunk.unitcell_vectors.astype(float))))
    volume = np.concatenate(volumes)
    density = mass / volume * _GRAM_PER_CM3
    values = {
        "time": np.concatenate(times),
        "density": density,
        "volume": volume,
        "density_mean": density.mean(),
        "volume_mean": volume.mean(),
        "mass": mass,
    }
    units = {"time": "ps", "density": "g/cm3", "density_mean": "g/cm3", "volume": "nm3", "volume_mean": "nm3"}
    return Result.of(
        "density", _METHOD.format(atoms=topology.n_atoms), "time", values, units | {"mass": "Da"}, len(volume)
    )
