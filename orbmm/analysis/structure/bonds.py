"""Bond integrity: is every covalent bond of the start still there?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs
from orbmm.analysis.reading.frames import Frames, read_boxes, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import HYDROGENS, NON_METALS
from orbmm.settings.settings import BROKEN_BOND_FACTOR
from orbmm.units import ANGSTROM_PER_NM

STRETCHED_FACTOR = 1.2
COLLAPSED_FACTOR = 0.6  # a vibration never gets below 0.8
_POLAR = ("N", "O", "S")
_HELD_NM = 0.13

_METHOD = (
    "Lengths of the {bonds} bonds of the topology (none to metals) between nearest periodic images (mdtraj), against "
    "those in {reference}: broken beyond {broken:g} times, "
    "stretched beyond {stretched:g} times, collapsed below {collapsed:g} times. A hydrogen that left N, O "
    "or S and is within 1.3 Å of another of them is transferred: chemistry, and no broken bond. "
    "An XTC file rounds coordinates to 0.01 Å.{unbonded}"
)


def compute_bonds(
    frames: Frames, reference: md.Trajectory | None = None, broken_factor: float = BROKEN_BOND_FACTOR
) -> Result:
    """Compute broken and stretched bonds along time, the mean and longest length of each, and the bonds to hydrogen
    [Å].

    frames: a trajectory, in memory or on disk; reference: one frame of the same atoms; absent, the first frame.
    `broken_molecules` are the molecules of the topology that ever had a broken bond, `transferred` the hydrogens that
    have gone over to another N, O or S in a frame.
    Raises NothingToMeasure when the topology has no bonds.
    """
    pairs = list_covalent_bonds(frames.topology)
    if len(pairs) == 0:
        raise NothingToMeasure("the topology has no bonds; a PDB needs CONECT or standard residues")
    first = next(read_chunks(frames))[0] if reference is None else reference[0]
    tally = _Tally(frames.topology, pairs, md.compute_distances(first, pairs)[0], broken_factor)
    for chunk in read_chunks(frames):
        tally.add(chunk, md.compute_distances(chunk, pairs))
    method = _METHOD.format(
        bonds=len(pairs),
        reference="the first frame" if reference is None else "the start structure",
        broken=broken_factor,
        stretched=STRETCHED_FACTOR,
        collapsed=COLLAPSED_FACTOR,
        unbonded=_name_unbonded(frames.topology, pairs),
    )
    return tally.collect(method)


@dataclass
class _Tally:
    """The values collected from the bond lengths (F, B) [nm], chunk by chunk."""

    topology: md.Topology
    pairs: NDArray[np.int64]  # (B, 2)
    start: NDArray[np.float32]  # (B,) [nm]
    broken_factor: float
    columns: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        symbols = np.array([atom.element.symbol for atom in self.topology.atoms])
        hydrogen = np.isin(symbols[self.pairs], HYDROGENS)  # (B, 2)
        self.to_hydrogen = hydrogen.any(axis=1)
        self.hydrogen = np.where(hydrogen[:, 0], self.pairs[:, 0], self.pairs[:, 1])  # (B,), meaningful with one
        self.owner = np.where(hydrogen[:, 0], self.pairs[:, 1], self.pairs[:, 0])
        self.polar = np.flatnonzero(np.isin(symbols, _POLAR))
        self.mobile = self.to_hydrogen & np.isin(symbols[self.owner], _POLAR)
        self.longest, self.total = np.zeros_like(self.start), np.zeros(len(self.start))
        self.ever_broken = np.zeros(len(self.start), dtype=bool)
        self.ever_collapsed = np.zeros(len(self.start), dtype=bool)
        self.frames = 0

    def add(self, chunk: md.Trajectory, lengths: NDArray[np.float32]) -> None:
        """Take in one chunk of frames; lengths: (F, B) [nm]."""
        ratio = lengths / self.start  # (F, B)
        hydrogen = lengths[:, self.to_hydrogen].astype(float) * ANGSTROM_PER_NM  # (F, H)
        beyond = ratio > self.broken_factor
        transferred = self._find_transferred(chunk, beyond)
        broken = beyond & ~transferred
        self.longest = np.maximum(self.longest, ratio.max(axis=0))
        self.total += lengths.sum(axis=0, dtype=np.float64)
        self.ever_broken |= broken.any(axis=0)
        self.ever_collapsed |= (ratio < COLLAPSED_FACTOR).any(axis=0)
        self.frames += len(lengths)
        row = {
            "time": read_times(chunk),
            "broken": broken.sum(axis=1),
            "transferred": transferred.sum(axis=1),
            "stretched": ((ratio > STRETCHED_FACTOR) & ~transferred).mean(axis=1),
            "largest_ratio": ratio.max(axis=1).astype(float),
            "length_change": np.sqrt(((lengths - self.start).astype(float) ** 2).mean(axis=1)) * ANGSTROM_PER_NM,
        }
        if hydrogen.size:
            row |= {"xh_mean": hydrogen.mean(axis=1), "xh_square": (hydrogen**2).mean(axis=1)}
            row |= {"xh_longest": hydrogen.max(axis=1)}
        for name, values in row.items():
            self.columns.setdefault(name, []).append(values)

    def _find_transferred(self, chunk: md.Trajectory, beyond: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the bonds (F, B) that are too long and whose hydrogen another N, O or S holds now."""
        transferred, boxes = np.zeros_like(beyond), read_boxes(chunk)
        for frame in np.flatnonzero((beyond & self.mobile).any(axis=1)):
            bonds = np.flatnonzero(beyond[frame] & self.mobile)
            positions = chunk.xyz[frame].astype(float)
            found = find_pairs(positions[self.hydrogen[bonds]], positions[self.polar], boxes[frame], _HELD_NM)
            other = self.polar[found.second] != self.owner[bonds[found.first]]
            transferred[frame, bonds[found.first[other]]] = True
        return transferred

    def collect(self, method: str) -> Result:
        """Return all chunks as one Result."""
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        broken = self.pairs[self.ever_broken]
        values = {
            **self._summarise(columns),
            "broken_ever": len(broken),
            "broken_names": np.array(_name_bonds(self.topology, broken), dtype=str),
            "collapsed_ever": self.ever_collapsed.sum(),
            "collapsed_names": np.array(_name_bonds(self.topology, self.pairs[self.ever_collapsed][:100]), dtype=str),
            "broken_molecules": _count_molecules(self.topology.n_atoms, self.pairs, broken),
            "transferred_largest": columns["transferred"].max(),
            "length_change_mean": columns["length_change"].mean(),
            "atoms": self.pairs,
            "start_length": self.start.astype(float) * ANGSTROM_PER_NM,
            "mean_length": self.total / self.frames * ANGSTROM_PER_NM,
            "longest_ratio": self.longest,
        }
        units = {name: _find_unit(name) for name in values}
        return Result.of("bonds", method, "time", values, units, len(columns["time"]))

    def _summarise(self, columns: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return the columns with the numbers that follow from them."""
        square = columns.pop("xh_square", None)
        numbers = {
            "bonds": len(self.start),
            "broken_factor": self.broken_factor,
            "stretched_factor": STRETCHED_FACTOR,
            "broken_at_end": columns["broken"][-1],
            "stretched_fraction": columns["stretched"].mean(),
            "ratio_largest": columns["largest_ratio"].max(),
        }
        if square is not None:
            mean = columns["xh_mean"].mean()
            numbers["xh_length"] = mean
            numbers["xh_spread"] = np.sqrt(max(0.0, square.mean() - mean**2))
            numbers["xh_length_largest"] = columns["xh_longest"].max()
        return columns | numbers


def list_covalent_bonds(topology: md.Topology) -> NDArray[np.int64]:
    """Return each bond once, (B, 2); bonds to a metal are left out, whose ligands may come and go."""
    bonds = [(a, b) for a, b in topology.bonds if {a.element.symbol, b.element.symbol} <= NON_METALS]
    return np.array(sorted({(min(a.index, b.index), max(a.index, b.index)) for a, b in bonds}), dtype=int)


def _find_unit(name: str) -> str:
    if name == "time":
        return "ps"
    return "angstrom" if name.startswith(("xh_", "length_", "start_", "mean_")) else ""


def _count_molecules(atoms: int, pairs: NDArray[np.int64], broken: NDArray[np.int64]) -> int:
    """Return the number of molecules with a broken bond; the bonds (B, 2) define the molecules."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(atoms, atoms))
    molecule = connected_components(graph, directed=False)[1]
    return len(np.unique(molecule[broken[:, 0]]))


def _name_bonds(topology: md.Topology, pairs: NDArray[np.int64]) -> list[str]:
    names = Names(topology)
    return [" ".join(map(names.name_atom, pair)) for pair in pairs.tolist()]


def _name_unbonded(topology: md.Topology, pairs: NDArray[np.int64]) -> str:
    """Return a sentence on atoms of residues that have several atoms and no bonds: they are not watched."""
    bonded = np.zeros(topology.n_atoms, dtype=bool)
    bonded[pairs.ravel()] = True
    lone = [atom for atom in topology.atoms if not bonded[atom.index] and atom.residue.n_atoms > 1]
    return f" {len(lone)} atoms have no bonds in the topology and are not watched (first {lone[0]})." if lone else ""
