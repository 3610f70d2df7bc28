"""Bond integrity: is every covalent bond of the start still there?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.units import ANGSTROM_PER_NM

BROKEN_FACTOR = 1.4
STRETCHED_FACTOR = 1.2
_NON_METALS = frozenset(["H", "D", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Se", "Br", "I"])

_METHOD = (
    "Lengths of the {bonds} bonds of the topology (none to metals) between nearest periodic images (mdtraj), against "
    "those in {reference}: broken beyond {broken:g} times, stretched beyond {stretched:g} times. "
    "An XTC file rounds coordinates to 0.01 angstrom.{unbonded}"
)


def measure_bonds(
    frames: Frames, reference: md.Trajectory | None = None, broken_factor: float = BROKEN_FACTOR
) -> Result:
    """Broken and stretched bonds along time, the longest of each bond, and the bonds to hydrogen [Å].

    frames: a trajectory, in memory or on disk; reference: one frame of the same atoms; absent, the first frame.
    Raises NothingToMeasure when the topology has no bonds.
    """
    pairs = _list_covalent_bonds(frames.topology)
    if len(pairs) == 0:
        raise NothingToMeasure("no bond check: the topology has no bonds; a PDB needs CONECT or standard residues")
    first = next(read_chunks(frames))[0] if reference is None else reference[0]
    to_hydrogen = _find_bonds_to_hydrogen(frames.topology, pairs)
    tally = _Tally(md.compute_distances(first, pairs)[0], to_hydrogen, broken_factor)
    for chunk in read_chunks(frames):
        tally.add(read_times(chunk), md.compute_distances(chunk, pairs))
    method = _METHOD.format(
        bonds=len(pairs),
        reference="the first frame" if reference is None else "the start structure",
        broken=broken_factor,
        stretched=STRETCHED_FACTOR,
        unbonded=_name_unbonded(frames.topology, pairs),
    )
    return tally.collect(frames.topology, pairs, method)


@dataclass
class _Tally:
    """What is kept of the bond lengths (F, B) [nm] while chunks go by."""

    start: NDArray[np.float32]  # (B,)
    to_hydrogen: NDArray[np.bool_]  # (B,)
    broken_factor: float
    longest: NDArray[np.float32] = field(init=False)  # (B,), as a ratio
    columns: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.longest = np.zeros_like(self.start)

    def add(self, time_ps: NDArray[np.float64], lengths: NDArray[np.float32]) -> None:
        """Take in one chunk of frames; time_ps: (F,) [ps], lengths: (F, B) [nm]."""
        ratio = lengths / self.start  # (F, B)
        hydrogen = lengths[:, self.to_hydrogen].astype(float) * ANGSTROM_PER_NM  # (F, H)
        self.longest = np.maximum(self.longest, ratio.max(axis=0))
        row = {
            "time": time_ps,
            "broken": (ratio > self.broken_factor).sum(axis=1),
            "stretched": (ratio > STRETCHED_FACTOR).mean(axis=1),
            "largest_ratio": ratio.max(axis=1).astype(float),
        }
        if hydrogen.size:
            row |= {"xh_mean": hydrogen.mean(axis=1), "xh_square": (hydrogen**2).mean(axis=1)}
            row |= {"xh_longest": hydrogen.max(axis=1)}
        for name, values in row.items():
            self.columns.setdefault(name, []).append(values)

    def collect(self, topology: md.Topology, pairs: NDArray[np.int64], method: str) -> Result:
        """All chunks as one Result; pairs: (B, 2) atom indices of the bonds."""
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        ever_broken = self.longest > self.broken_factor
        values = {
            **self._summarise(columns),
            "broken_ever": ever_broken.sum(),
            "broken_names": np.array(_name_bonds(topology, pairs[ever_broken]), dtype=str),
            "atoms": pairs,
            "start_length": self.start.astype(float) * ANGSTROM_PER_NM,
            "longest_ratio": self.longest,
        }
        units = {name: _find_unit(name) for name in values}
        arrays = {name: np.asarray(value) for name, value in values.items()}
        return Result("bonds", method, "time", arrays, units, len(columns["time"]))

    def _summarise(self, columns: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        """The columns with the numbers that follow from them."""
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


def _list_covalent_bonds(topology: md.Topology) -> NDArray[np.int64]:
    """Each bond once, (B, 2); bonds to a metal are left out, whose ligands may come and go."""
    bonds = [(a, b) for a, b in topology.bonds if {a.element.symbol, b.element.symbol} <= _NON_METALS]
    return np.array(sorted({(min(a.index, b.index), max(a.index, b.index)) for a, b in bonds}), dtype=int)


def _find_unit(name: str) -> str:
    if name == "time":
        return "ps"
    return "angstrom" if name.startswith("xh_") or name == "start_length" else ""


def _find_bonds_to_hydrogen(topology: md.Topology, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    hydrogen = np.array([atom.element.symbol in ("H", "D") for atom in topology.atoms])
    return np.asarray(hydrogen[pairs].any(axis=1))


def _name_bonds(topology: md.Topology, pairs: NDArray[np.int64]) -> list[str]:
    return [f"{topology.atom(i)} {topology.atom(j)}" for i, j in pairs]


def _name_unbonded(topology: md.Topology, pairs: NDArray[np.int64]) -> str:
    """A sentence on atoms of residues that have several atoms and no bonds: they are not watched."""
    bonded = np.zeros(topology.n_atoms, dtype=bool)
    bonded[pairs.ravel()] = True
    lone = [atom for atom in topology.atoms if not bonded[atom.index] and atom.residue.n_atoms > 1]
    return f" {len(lone)} atoms have no bonds in the topology and are not watched (first {lone[0]})." if lone else ""
