"""The bond graph from distances alone: which bonds form and break along a reactive trajectory, and stay so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs
from orbmm.analysis.pieces import Piece, map_frames
from orbmm.analysis.reading.frames import Frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import NON_METALS

FORMS, BREAKS = 0.5, 0.6  # times the sum of van der Waals radii
_UP, _DOWN, _FORGOTTEN = 0.6, 0.4, 0.01
_METHOD = (
    "Two atoms touch from when they come nearer than "
    "{forms:g} times the sum of their van der Waals radii until they are "
    "beyond {breaks:g} times it. The exponential average of that over "
    "{persistence:g} ps makes a bond above 0.6 and ends "
    "it below 0.4, so that a vibration is no event; bonds of the first frame are those of the topology and those that "
    "touch. Bonds to metals are left to the metal site."
)


def compute_bond_events(frames: Frames, persistence_ps: float = 1.0) -> Result:
    """Compute bonds formed and broken against the first frame, along time, and the list of events.

    frames: a trajectory, in memory or on disk. persistence_ps: time constant of the average; with frames further apart
    every change counts at once. `events` are rows of: time since when the new state has lasted [ps], "formed" or
    "broken", the two atoms, and the time at which it was held to be lasting [ps].
    Raises NothingToMeasure without two atoms that can bond.
    """
    atoms = np.array([a.index for a in frames.topology.atoms if a.element.symbol in NON_METALS], dtype=np.int64)
    if len(atoms) < 2:
        raise NothingToMeasure("no two atoms can bond")
    radii = np.array([frames.topology.atom(int(index)).element.radius for index in atoms])
    graph = _Graph(len(atoms), _list_keys(frames.topology, atoms), persistence_ps)
    for found in map_frames(frames, partial(_find_close, radii=radii), read_chunks(frames, atoms)):
        for time, near, within in found:
            graph.add(time, near, within)
    return _collect(graph, frames.topology, atoms, persistence_ps)


def _find_close(piece: Piece, radii: NDArray[np.float64]) -> list[tuple[float, NDArray[np.int64], NDArray[np.int64]]]:
    """Return the time of each frame, and the keys of pairs below the first distance and below the second."""
    rows = []
    for time, positions, box in piece.iterate_frames():
        found = find_pairs(positions, positions, box, 2.0 * BREAKS * float(radii.max()))
        once = found.first < found.second
        first, second = found.first[once], found.second[once]
        ratio = found.lengths[once] / (radii[first] + radii[second])
        keys = first * len(radii) + second
        rows.append((time, np.unique(keys[ratio < FORMS]), np.unique(keys[ratio < BREAKS])))
    return rows


@dataclass
class _Graph:
    """Pairs that touch or have touched lately, each as first * atoms + second, ascending."""

    atoms: int
    topology: NDArray[np.int64]
    persistence_ps: float
    keys: NDArray[np.int64] = field(init=False)
    touch: NDArray[np.bool_] = field(init=False)
    average: NDArray[np.float64] = field(init=False)
    bonded: NDArray[np.bool_] = field(init=False)
    since: NDArray[np.float64] = field(init=False)  # when the present touch or distance began [ps]
    start: NDArray[np.int64] = field(init=False)
    events: list[tuple[float, str, int, float]] = field(default_factory=list)
    rows: list[tuple[float, int, int]] = field(default_factory=list)

    def add(self, time: float, near: NDArray[np.int64], within: NDArray[np.int64]) -> None:
        """Take in a frame: pairs below the first distance, and pairs below the second."""
        if not self.rows:
            self._begin(time, np.union1d(near, self.topology))
        else:
            self._remember(time, near)
            weight = 1.0 - math.exp(-max(0.0, time - self.rows[-1][0]) / self.persistence_ps)
            touch = np.isin(self.keys, near) | (self.touch & np.isin(self.keys, within))
            self.since = np.where(touch != self.touch, time, self.since)
            self.touch = touch
            self.average += weight * (touch - self.average)
            self._flip(time)
        held = self.keys[self.bonded]
        kept = len(np.intersect1d(held, self.start, assume_unique=True))
        self.rows.append((time, len(held) - kept, len(self.start) - kept))

    def _begin(self, time: float, keys: NDArray[np.int64]) -> None:
        self.keys = self.start = keys
        self.touch = self.bonded = np.ones(len(keys), dtype=bool)
        self.average, self.since = np.ones(len(keys)), np.full(len(keys), time)

    def _remember(self, time: float, near: NDArray[np.int64]) -> None:
        """Take up new pairs, and drop those that touched long ago and are no bonds."""
        keep = self.bonded | self.touch | (self.average > _FORGOTTEN)
        new = np.setdiff1d(near, self.keys[keep], assume_unique=True)
        order = np.argsort(np.concatenate([self.keys[keep], new]), kind="stable")
        self.keys = np.concatenate([self.keys[keep], new])[order]
        self.touch = np.concatenate([self.touch[keep], np.zeros(len(new), dtype=bool)])[order]
        self.bonded = np.concatenate([self.bonded[keep], np.zeros(len(new), dtype=bool)])[order]
        self.average = np.concatenate([self.average[keep], np.zeros(len(new))])[order]
        self.since = np.concatenate([self.since[keep], np.full(len(new), time)])[order]

    def _flip(self, time: float) -> None:
        formed = ~self.bonded & (self.average > _UP)
        broken = self.bonded & (self.average < _DOWN)
        for what, changed in (("broken", broken), ("formed", formed)):
            for row in np.flatnonzero(changed):
                self.events.append((float(self.since[row]), what, int(self.keys[row]), time))
        self.bonded = (self.bonded | formed) & ~broken


def _list_keys(topology: md.Topology, atoms: NDArray[np.int64]) -> NDArray[np.int64]:
    row = {int(index): i for i, index in enumerate(atoms)}
    bonds = [sorted((row[a.index], row[b.index])) for a, b in topology.bonds if a.index in row and b.index in row]
    return np.unique(np.array([first * len(atoms) + second for first, second in bonds], dtype=np.int64))


def _collect(graph: _Graph, topology: md.Topology, atoms: NDArray[np.int64], persistence_ps: float) -> Result:
    time, formed, broken = (np.array(column) for column in zip(*graph.rows, strict=True))
    words, names = [], Names(topology)
    for began, what, key, confirmed in graph.events:
        pair = [names.name_atom(int(atoms[row])) for row in divmod(key, len(atoms))]
        words.append([f"{began:g}", what, *pair, f"{confirmed:g}"])
    values = {
        "time": time,
        "formed": formed,
        "broken": broken,
        "bonds_start": len(graph.start),
        "formed_end": formed[-1],
        "broken_end": broken[-1],
        "event_count": len(graph.events),
        "events": np.array(words, dtype=str).reshape(-1, 5),
    }
    method = _METHOD.format(forms=FORMS, breaks=BREAKS, persistence=persistence_ps)
    return Result.of("bond_events", method, "time", values, {"time": "ps"}, len(time))
