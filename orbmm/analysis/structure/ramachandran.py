"""Backbone torsions phi and psi: which of the allowed regions does the backbone visit?"""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import Assembler, find_large_molecules
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result

BIN_DEGREES = 10.0
REGIONS = ("alpha", "beta", "left")
_BINS = int(360.0 / BIN_DEGREES)
_METHOD = (
    "Torsions phi and psi (mdtraj) of each residue that has both ({residues}), in bins of {bin:g} degrees. Regions: "
    "alpha with phi from -160 to -20 and psi from -120 to 50 degrees, beta with phi below -20 or above 160 and any "
    "other psi, left-handed with phi from 20 to 120 and psi from -60 to 100; elsewhere none of the three."
)


def compute_ramachandran(frames: Frames) -> Result:
    """Compute histogram of (phi, psi) over all residues and frames, and the fraction of residues in each region along
    time.

    frames: a trajectory, in memory or on disk. `histogram` is (36, 36), rows phi and columns psi from -180 degrees on.
    Raises NothingToMeasure without a residue that has both torsions.
    """
    solute, assembler = find_large_molecules(frames.topology), Assembler()
    times, rows, histogram, residues = [], [], np.zeros((_BINS, _BINS)), 0
    for chunk in read_chunks(frames, solute) if len(solute) else ():
        phi, psi = _measure_torsions(assembler.make_whole(chunk))  # (F, R) each
        residues = phi.shape[1]
        if residues == 0:
            break
        rows.append(np.stack([inside.mean(axis=1) for inside in _sort_regions(phi, psi)], axis=1))
        edges = np.linspace(-180.0, 180.0, _BINS + 1)
        histogram += np.histogram2d(phi.ravel(), psi.ravel(), bins=(edges, edges))[0]
        times.append(read_times(chunk))
    if residues == 0:
        raise NothingToMeasure("no residue has both torsions phi and psi")
    fractions = np.concatenate(rows)
    values = {
        "time": np.concatenate(times),
        **{name: fractions[:, i] for i, name in enumerate(REGIONS)},
        **{f"{name}_mean": fractions[:, i].mean() for i, name in enumerate(REGIONS)},
        "residues": residues,
        "histogram": histogram,
    }
    method = _METHOD.format(residues=residues, bin=BIN_DEGREES)
    return Result.of("ramachandran", method, "time", values, {"time": "ps"}, len(fractions))


def _measure_torsions(chunk: md.Trajectory) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return phi and psi [degrees], (F, R) each, of the residues that have both; matched by their C-alpha atoms."""
    phi_atoms, phi = md.compute_phi(chunk, periodic=False)
    psi_atoms, psi = md.compute_psi(chunk, periodic=False)
    if len(phi_atoms) == 0 or len(psi_atoms) == 0:
        return np.zeros((chunk.n_frames, 0)), np.zeros((chunk.n_frames, 0))
    _, in_phi, in_psi = np.intersect1d(phi_atoms[:, 2], psi_atoms[:, 1], return_indices=True)
    return np.degrees(phi[:, in_phi]).astype(float), np.degrees(psi[:, in_psi]).astype(float)


def _sort_regions(phi: NDArray[np.float64], psi: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    alpha = (phi >= -160.0) & (phi <= -20.0) & (psi >= -120.0) & (psi <= 50.0)
    beta = ((phi < -20.0) | (phi > 160.0)) & ~alpha
    left = (phi >= 20.0) & (phi <= 120.0) & (psi >= -60.0) & (psi <= 100.0)
    return [alpha, beta, left]
