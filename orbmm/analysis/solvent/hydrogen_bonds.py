"""Hydrogen bonds along time: among waters, between solute and water, and inside the solute."""

from __future__ import annotations

from functools import partial

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.pairs import find_pairs, shorten
from orbmm.analysis.pieces import Piece, map_frames
from orbmm.analysis.reading.frames import Frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import is_hydrogen, mark_waters

_REACH_NM, _LEAST_COSINE = 0.25, 0.5
_KINDS = ("water_water", "solute_water", "solute_solute")
_METHOD = (
    "A hydrogen on N or O (bonds of the topology) nearer than 2.5 Å to another N or O, with an angle D-H...A "
    "above 120 degrees (Baker and Hubbard 1984); {donors} such hydrogens, {acceptors} acceptors."
)


def compute_hydrogen_bonds(frames: Frames) -> Result:
    """Compute numbers of hydrogen bonds along time, and of those among waters per water molecule.

    frames: a trajectory, in memory or on disk. Raises NothingToMeasure without a hydrogen on N or O in the topology.
    """
    donors = list_donors(frames.topology)
    acceptors = list_acceptors(frames.topology)
    if len(donors) == 0:
        raise NothingToMeasure("the topology has no hydrogen bonded to nitrogen or oxygen")
    water = mark_waters(frames.topology)
    count = partial(_count_bonds, donors=donors, acceptors=acceptors, water=water)
    rows = [row for rows in map_frames(frames, count, read_chunks(frames)) for row in rows]
    counts = np.array([found for _, found in rows])
    molecules = int(water[acceptors].sum())
    values = {
        "time": np.array([time for time, _ in rows]),
        **{name: counts[:, i] for i, name in enumerate(_KINDS)},
        **{f"{name}_mean": counts[:, i].mean() for i, name in enumerate(_KINDS)},
        "waters": molecules,
    }
    if molecules > 1:
        values["per_water"] = 2.0 * counts[:, 0].mean() / molecules  # each bond belongs to two waters
    method = _METHOD.format(donors=len(donors), acceptors=len(acceptors))
    return Result.of("hydrogen_bonds", method, "time", values, {"time": "ps"}, len(counts))


def _count_bonds(
    piece: Piece, donors: NDArray[np.int64], acceptors: NDArray[np.int64], water: NDArray[np.bool_]
) -> list[tuple[float, list[int]]]:
    """Return the time of each frame, and its bonds among waters, between solute and water, and inside the solute."""
    rows = []
    for time, positions, box in piece.iterate_frames():
        bonds = find_hydrogen_bonds(positions, box, donors, acceptors)
        waters = water[bonds[:, 0]].astype(int) + water[bonds[:, 2]]
        rows.append((time, [int(np.sum(waters == count)) for count in (2, 1, 0)]))
    return rows


def list_donors(topology: md.Topology) -> NDArray[np.int64]:
    """Return donor and hydrogen (D, 2) of every bond of the topology between N or O and H."""
    donors = []
    for first, second in topology.bonds:
        for heavy, hydrogen in ((first, second), (second, first)):
            if heavy.element.symbol in ("N", "O") and is_hydrogen(hydrogen):
                donors.append((heavy.index, hydrogen.index))
    return np.array(donors, dtype=np.int64).reshape(-1, 2)


def list_acceptors(topology: md.Topology) -> NDArray[np.int64]:
    """Return every N and O."""
    return np.array([atom.index for atom in topology.atoms if atom.element.symbol in ("N", "O")], dtype=np.int64)


def find_hydrogen_bonds(
    positions: NDArray[np.float64],
    box: NDArray[np.float64] | None,
    donors: NDArray[np.int64],
    acceptors: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return donor, hydrogen and acceptor (B, 3) of every hydrogen bond among positions (A, 3) [nm] in a box (3, 3)
    [nm].
    """
    found = find_pairs(positions[donors[:, 1]], positions[acceptors], box, _REACH_NM)
    donor, hydrogen, acceptor = donors[found.first, 0], donors[found.first, 1], acceptors[found.second]
    back = shorten(positions[donor] - positions[hydrogen], box)
    lengths = np.linalg.norm(back, axis=1) * found.lengths
    cosine = np.divide(-(back * found.vectors).sum(axis=1), lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    bonded = (donor != acceptor) & (cosine > _LEAST_COSINE)
    return np.stack([donor, hydrogen, acceptor], axis=1)[bonded]
