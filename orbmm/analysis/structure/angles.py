"""Bond angles: is the geometry of every atom still that of the start?"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.structure.bonds import list_covalent_bonds

BENT_DEGREES = 40.0
_ANGLES_PER_CHUNK = 2_000_000
_METHOD = (
    "The {angles} angles between bonds of the topology (none to metals) and nearest periodic images (mdtraj), against "
    "those in {reference}: bent when off by more than {bent:g} degrees. "
    "Every angle vibrates, by some 3 to 8 degrees at "
    "300 K, and the start is one moment of that; what grows along time or lies far beyond is a change."
)


def compute_angles(frames: Frames, reference: md.Trajectory | None = None) -> Result:
    """Compute root mean square and largest change of the angles along time [degrees], and the angles that were bent.

    frames: a trajectory, in memory or on disk; reference: one frame of the same atoms; absent, the first frame.
    Values: `mean_change` (A,), of each angle averaged over the run, with its atoms `atoms` (A, 3); `bent_names`.
    Raises NothingToMeasure when the topology has no two bonds at one atom.
    """
    triples = list_angles(frames.topology)
    if len(triples) == 0:
        raise NothingToMeasure("no atom has two bonds in the topology")
    first = next(read_chunks(frames))[0] if reference is None else reference[0]
    tally = _Tally(_compute(first, triples)[0])
    for chunk in read_chunks(frames):
        size = max(1, _ANGLES_PER_CHUNK // len(triples))
        for begin in range(0, chunk.n_frames, size):
            part = chunk[begin : begin + size]
            tally.add(read_times(part), _compute(part, triples))
    method = _METHOD.format(
        angles=len(triples),
        reference="the first frame" if reference is None else "the start structure",
        bent=BENT_DEGREES,
    )
    return tally.collect(frames.topology, triples, method)


def list_angles(topology: md.Topology) -> NDArray[np.int64]:
    """Return outer, middle and outer atom (A, 3) of every angle between two covalent bonds."""
    neighbours: dict[int, list[int]] = {}
    for first, second in list_covalent_bonds(topology).tolist():
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    triples = [
        (left, middle, right)
        for middle, ends in sorted(neighbours.items())
        for left, right in combinations(sorted(ends), 2)
    ]
    return np.array(triples, dtype=np.int64).reshape(-1, 3)


def _compute(chunk: md.Trajectory, triples: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.degrees(md.compute_angles(chunk, triples).astype(float))


@dataclass
class _Tally:
    """The values collected from the angles (F, A) [degrees], chunk by chunk."""

    start: NDArray[np.float64]  # (A,)
    total: NDArray[np.float64] = field(init=False)
    largest: NDArray[np.float64] = field(init=False)
    columns: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    frames: int = 0

    def __post_init__(self) -> None:
        self.total, self.largest = np.zeros_like(self.start), np.zeros_like(self.start)

    def add(self, time_ps: NDArray[np.float64], angles: NDArray[np.float64]) -> None:
        """Take in some frames; time_ps: (F,) [ps], angles: (F, A) [degrees]."""
        change = angles - self.start
        self.total += change.sum(axis=0)
        self.largest = np.maximum(self.largest, np.abs(change).max(axis=0))
        self.frames += len(change)
        row = {
            "time": time_ps,
            "change": np.sqrt((change**2).mean(axis=1)),
            "largest_change": np.abs(change).max(axis=1),
            "bent": (np.abs(change) > BENT_DEGREES).sum(axis=1),
        }
        for name, values in row.items():
            self.columns.setdefault(name, []).append(values)

    def collect(self, topology: md.Topology, triples: NDArray[np.int64], method: str) -> Result:
        """Return all frames as one Result; triples: (A, 3) atom indices of the angles."""
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        bent = self.largest > BENT_DEGREES
        mean = self.total / self.frames
        values: dict[str, Any] = {
            **columns,
            "angles": len(triples),
            "change_mean": columns["change"].mean(),
            "change_largest": self.largest.max(),
            "lasting_change": np.sqrt((mean**2).mean()),
            "bent_ever": bent.sum(),
            "bent_degrees": BENT_DEGREES,
            "bent_names": _name_angles(topology, triples[bent][np.argsort(-self.largest[bent])][:100]),
            "atoms": triples,
            "start_angle": self.start,
            "mean_change": mean,
        }
        degrees = ("change", "largest_change", "change_mean", "change_largest", "lasting_change", "bent_degrees",
                   "start_angle", "mean_change")  # fmt: skip
        units = dict.fromkeys(degrees, "degrees") | {"time": "ps"}
        return Result.of("angles", method, "time", values, units, self.frames)


def _name_angles(topology: md.Topology, triples: NDArray[np.int64]) -> NDArray[np.str_]:
    names = Names(topology)
    rows = [[" ".join(map(names.name_atom, triple))] for triple in triples.tolist()]
    return np.array(rows, dtype=str).reshape(-1, 1)
