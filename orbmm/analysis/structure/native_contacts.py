"""Native contacts: how much of the fold of the start is still there?"""

from __future__ import annotations

from functools import partial

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import Assembler, find_large_molecules
from orbmm.analysis.geometry.pairs import find_pairs
from orbmm.analysis.pieces import Piece, map_frames
from orbmm.analysis.reading.frames import Frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import find_heavy

NATIVE_NM = 0.45
_APART = 4  # residues along the chain
_STEEPNESS_PER_NM, _TOLERANCE = 50.0, 1.8
_METHOD = (
    "Fraction of the {contacts} contacts of {reference} (heavy atoms nearer than 4.5 Å, of residues at least "
    "four apart) that is kept, each counted as 1 / (1 + exp(50 / nm (r - 1.8 r0))) (Best, Hummer and Eaton 2013)."
)


def compute_native_contacts(frames: Frames, reference: md.Trajectory | None = None) -> Result:
    """Compute fraction of native contacts along time, 1 when all of the reference's are there.

    frames: a trajectory, in memory or on disk. reference: one frame of the same atoms; absent, the first frame.
    Raises NothingToMeasure when the reference has no contacts between residues at least four apart.
    """
    solute = find_large_molecules(frames.topology)
    if len(solute) == 0:
        raise NothingToMeasure("there is no molecule but water")
    first = next(read_chunks(frames, solute))[0] if reference is None else reference[0].atom_slice(solute)
    assembler = Assembler()
    start = assembler.make_whole(first)
    pairs = _list_contacts(start)
    if len(pairs) == 0:
        raise NothingToMeasure("no residues four or more apart touch in the reference")
    native = md.compute_distances(start, pairs, periodic=False)[0].astype(float)
    chunks = (assembler.make_whole(chunk) for chunk in read_chunks(frames, solute))
    parts = list(map_frames(frames, partial(_measure_kept, pairs=pairs, native=native), chunks))
    kept = np.concatenate([part for _, part in parts])
    values = {
        "time": np.concatenate([times for times, _ in parts]),
        "kept": kept,
        "contacts": len(pairs),
        "kept_mean": kept.mean(),
        "kept_smallest": kept.min(),
        "kept_last": kept[-1],
    }
    method = _METHOD.format(
        contacts=len(pairs), reference="the first frame" if reference is None else "the start structure"
    )
    return Result.of("native_contacts", method, "time", values, {"time": "ps"}, len(kept))


def _list_contacts(start: md.Trajectory) -> NDArray[np.int64]:
    """Return pairs (P, 2) of heavy atoms of the solute; residues of different chains count as far apart."""
    atoms = list(start.topology.atoms)
    heavy = find_heavy(start.topology)
    residue = np.array([atom.residue.index for atom in atoms])
    chain = np.array([atom.residue.chain.index for atom in atoms])
    positions = start.xyz[0, heavy].astype(float)
    found = find_pairs(positions, positions, None, NATIVE_NM)
    first, second = heavy[found.first], heavy[found.second]
    far = (residue[second] - residue[first] >= _APART) | (chain[second] > chain[first])
    return np.stack([first[far], second[far]], axis=1)


def _measure_kept(
    piece: Piece, pairs: NDArray[np.int64], native: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times (F,) [ps] and fractions (F,), frame by frame: there may be more pairs than atoms."""
    kept = np.empty(len(piece))
    for i, (_, positions, _) in enumerate(piece.iterate_frames()):
        lengths = np.linalg.norm(positions[pairs[:, 1]] - positions[pairs[:, 0]], axis=1)
        exponent = np.clip(_STEEPNESS_PER_NM * (lengths - _TOLERANCE * native), -500.0, 500.0)
        kept[i] = np.mean(1.0 / (1.0 + np.exp(exponent)))
    return piece.times, kept
