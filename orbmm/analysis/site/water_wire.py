"""The water wire: can a proton walk from the oxygen on the metal over waters to the histidine that takes it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs, shorten
from orbmm.analysis.reading.frames import Frames, iterate_frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.site.metal_site import REACH_NM, find_metals
from orbmm.analysis.site.protonation import TITRATABLE
from orbmm.errors import AnalysisError
from orbmm.kinds import find_water_oxygens
from orbmm.units import ANGSTROM_PER_NM

STEP_NM = 0.35
_MOST_WATERS = 12
SHUTTLE = ("HIS", 64)
"""The residue that takes the proton in carbonic anhydrase II."""
_METHOD = (
    "Shortest chain of waters from the oxygen on {metal} (the nearest within reach) "
    "to {group}, with at most 3.5 Å "
    "between neighbouring oxygens, or oxygen and the group's {atoms}; of chains of as many waters, the one whose steps "
    "add up to least. Hydrogens are not looked at, so the wire need not point one way."
)


def compute_water_wire(frames: Frames, group: tuple[str, int] = SHUTTLE) -> Result:
    """Compute waters in the wire from the metal's oxygen to a titratable group along time, and its longest step [Å].

    frames: a trajectory, in memory or on disk. group: name and number of the residue that takes the proton.
    Values: `waters` (F,), -1 in frames without a wire; `distance` (F,) straight from the oxygen to the group [Å], NaN
    while no oxygen is bound; `wire_start` and `wire_end`, the atoms of the wire in the first and last frame.
    Raises NothingToMeasure without a metal, a water or that group, AnalysisError for a group that takes no proton.
    """
    metals = find_metals(frames.topology)
    if not metals:
        raise NothingToMeasure("there is no metal that it could start from")
    takers = _find_takers(frames.topology, group)
    if not takers:
        raise NothingToMeasure(f"there is no {group[0]} {group[1]} that it could lead to")
    waters = find_water_oxygens(frames.topology)
    if len(waters) == 0:
        raise NothingToMeasure("there is no water")
    oxygens = np.array([atom.index for atom in frames.topology.atoms if atom.element.symbol == "O"], dtype=np.int64)
    tally = _Tally(frames.topology, np.union1d(oxygens, [metals[0], *takers]), metals[0], takers)
    for chunk in read_chunks(frames, tally.atoms):
        for time, positions, box in iterate_frames(chunk):
            tally.add(time, positions, box)
    names = " or ".join(frames.topology.atom(taker).name for taker in takers)
    method = _METHOD.format(
        metal=frames.topology.atom(metals[0]), group=frames.topology.atom(takers[0]).residue, atoms=names
    )
    return tally.collect(method)


def _find_takers(topology: md.Topology, group: tuple[str, int]) -> list[int]:
    """Return the atoms of the group that take a proton."""
    if group[0] not in TITRATABLE:
        raise AnalysisError(f"{group[0]} {group[1]} takes no proton; give one of {', '.join(sorted(TITRATABLE))}")
    alike = {name for name, atoms in TITRATABLE.items() if atoms == TITRATABLE[group[0]]}
    return [
        atom.index
        for residue in topology.residues
        if residue.name in alike and residue.resSeq == group[1]
        for atom in residue.atoms
        if atom.name in TITRATABLE[group[0]]
    ]


@dataclass
class _Tally:
    """Wires while frames go by; everything but `atoms` counts in rows of those."""

    topology: md.Topology
    atoms: NDArray[np.int64]  # oxygens, metal, takers: what is read of each frame
    metal: int
    takers: list[int]
    rows: list[tuple[float, int, float, float]] = field(default_factory=list)
    wires: list[list[int]] = field(default_factory=list)  # the first and the last

    def __post_init__(self) -> None:
        chosen = [self.topology.atom(int(index)) for index in self.atoms]
        self.center = int(np.searchsorted(self.atoms, self.metal))
        self.ends = np.searchsorted(self.atoms, self.takers)
        self.oxygens = np.array([row for row, atom in enumerate(chosen) if atom.element.symbol == "O"])
        self.water = np.flatnonzero(np.isin(self.atoms, find_water_oxygens(self.topology)))
        self.reach = REACH_NM[self.topology.atom(self.metal).element.symbol][1]

    def add(self, time: float, positions: NDArray[np.float64], box: NDArray[np.float64] | None) -> None:
        """Take in a frame; positions: (A, 3) [nm], box: (3, 3) rows [nm] or None."""
        bound = find_pairs(positions[[self.center]], positions[self.oxygens], box, self.reach)
        if len(bound.lengths) == 0:
            self._remember(time, [], np.zeros(0), np.nan)
            return
        first = int(self.oxygens[bound.second[np.argmin(bound.lengths)]])
        straight = np.linalg.norm(shorten(positions[self.ends] - positions[first], box), axis=1).min()
        wire = self._find_wire(first, positions, box)
        steps = np.linalg.norm(shorten(np.diff(positions[wire], axis=0), box), axis=1) if wire else np.zeros(0)
        self._remember(time, wire, steps, float(straight))

    def _find_wire(self, first: int, positions: NDArray[np.float64], box: NDArray[np.float64] | None) -> list[int]:
        """Return rows from the metal's oxygen over waters to the group; empty without a wire."""
        nodes = np.union1d(np.append(self.water, first), self.ends)
        found = find_pairs(positions[nodes], positions[nodes], box, STEP_NM)
        apart = found.first != found.second
        many = 1.0 + 1e-3 * found.lengths[apart] / STEP_NM  # fewest waters first, then the shortest way
        graph = coo_array((many, (found.first[apart], found.second[apart])), shape=(len(nodes), len(nodes)))
        start, ends = int(np.searchsorted(nodes, first)), np.searchsorted(nodes, self.ends)
        costs, before = dijkstra(graph.tocsr(), indices=start, limit=_MOST_WATERS + 2, return_predecessors=True)
        end = int(ends[np.argmin(costs[ends])])
        if not np.isfinite(costs[end]):
            return []
        wire = [end]
        while wire[-1] != start:
            wire.append(int(before[wire[-1]]))
        return nodes[wire[::-1]].tolist()

    def _remember(self, time: float, wire: list[int], steps: NDArray[np.float64], straight: float) -> None:
        longest = float(steps.max()) if len(steps) else np.nan
        self.rows.append((time, len(wire) - 2 if wire else -1, longest * ANGSTROM_PER_NM, straight * ANGSTROM_PER_NM))
        self.wires = [*self.wires[:1], self.atoms[wire].tolist()]

    def collect(self, method: str) -> Result:
        """Return all frames as one Result."""
        time, waters, longest, distance = (np.array(column) for column in zip(*self.rows, strict=True))
        there = waters >= 0
        names = Names(self.topology)
        first, last = ([[names.name_atom(i)] for i in wire] for wire in (self.wires[0], self.wires[-1]))
        values: dict[str, Any] = {
            "time": time,
            "waters": waters,
            "longest_step": longest,
            "distance": distance,
            "connected": there.mean(),
            "waters_mean": waters[there].mean() if there.any() else np.nan,
            "waters_fewest": waters[there].min() if there.any() else -1,
            "wire_start": np.array(first, dtype=str).reshape(-1, 1),
            "wire_end": np.array(last, dtype=str).reshape(-1, 1),
        }
        units = {"time": "ps", "longest_step": "angstrom", "distance": "angstrom"}
        return Result.of("water_wire", method, "time", values, units, len(time))
