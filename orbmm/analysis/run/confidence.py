"""The confidence of the model: the force error that it expects of each atom, along time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.kinds import is_water, mark_waters
from orbmm.run_files.confidence import ConfidenceFile

LEAST_KNOWN = 10
_STRETCHES = 200  # of time that the maps are averaged over: they must not grow with the run
_METHOD = (
    "Expected error of an atom's force, as mean absolute error of a component, from the confidence head: probabilities "
    "of {bins} bins from {low:g} to {high:g} eV/Å. Errors beyond {high:g} were left out "
    "when the head was trained, "
    "so neither its last bin nor an expected error near {high:g} says how much larger the true error is. An atom is "
    "doubtful when its mean expected error from {start:g} ps on lies in the upper half of the scale."
)


def compute_confidence(file: ConfidenceFile, topology: md.Topology, discard_ps: float = 0.0) -> Result:
    """Compute expected force error [eV/Å] of all atoms, solute and water along time, of each atom and residue, and
    least known.

    file: the records of a run. topology: of the same N atoms. discard_ps: start that means leave out.
    Values: columns `all_atoms`, `solute` (what is not water) and `water`; `atom_error` (N,) and `atom_last_bin` (N,),
    the share of records in the last bin; `residue_error` (R,) with `residue_names` of what is not water; `bin_shares`
    (S, B) and `residue_map` (S, R), averages over S <= 200 stretches of the run that begin at `stretch_start`;
    `least_known`, rows of: atom, mean expected error, share of records in the last bin.
    Raises AnalysisError for other atoms than the topology's or damaged records, NothingToMeasure when nothing is kept.
    """
    if topology.n_atoms != file.atoms:
        raise AnalysisError(
            f"{file.path}: has {file.atoms} atoms a record, but the topology {topology.n_atoms}; "
            "give those that belong together"
        )
    tally = _Tally(topology, file.edges, discard_ps, file.count())
    for records in file.read_chunks():
        tally.add(records)
    return tally.collect()


@dataclass
class _Tally:
    """Sums over the records while chunks go by."""

    topology: md.Topology
    edges: NDArray[np.float64]
    discard_ps: float
    records: int
    columns: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    done: int = 0
    kept: int = 0

    def __post_init__(self) -> None:
        atoms, bins = self.topology.n_atoms, len(self.edges) - 1
        self.starts = np.array([residue.atom(0).index for residue in self.topology.residues])
        self.sizes = np.array([residue.n_atoms for residue in self.topology.residues])
        self.water = mark_waters(self.topology)
        self.shown = np.array([not is_water(residue) for residue in self.topology.residues], dtype=bool)
        stretches = min(self.records, _STRETCHES)
        self.atom_error, self.atom_last = np.zeros(atoms), np.zeros(atoms)
        self.shares = np.zeros((stretches, bins))
        self.residues = np.zeros((stretches, int(self.shown.sum())))
        self.counts = np.zeros(stretches)
        self.begins = np.full(stretches, np.inf)

    def add(self, records: NDArray[Any]) -> None:
        """Take in some records."""
        error, bins, last = records["error"].astype(np.float64), records["bin"], len(self.edges) - 2
        groups = {"all_atoms": ~np.zeros_like(self.water), "solute": ~self.water, "water": self.water}
        self._append("time", records["time_ps"])
        for name, members in groups.items():
            if members.any():
                self._append(name, error[:, members].mean(axis=1))
        self._append("last_bin", (bins == last).mean(axis=1))
        keep = records["time_ps"] >= self.discard_ps
        self.atom_error += error[keep].sum(axis=0)
        self.atom_last += (bins[keep] == last).sum(axis=0)
        self.kept += int(keep.sum())
        self._add_to_maps(records["time_ps"], error, bins)
        self.done += len(records)

    def _add_to_maps(self, time: NDArray[np.float64], error: NDArray[np.float64], bins: NDArray[np.uint8]) -> None:
        stretch = (self.done + np.arange(len(time))) * len(self.counts) // self.records
        means = (np.add.reduceat(error, self.starts, axis=1) / self.sizes)[:, self.shown]  # (F, R)
        for row, where in enumerate(stretch.tolist()):
            self.shares[where] += np.bincount(bins[row], minlength=self.shares.shape[1]) / bins.shape[1]
            self.residues[where] += means[row]
            self.begins[where] = min(self.begins[where], float(time[row]))
            self.counts[where] += 1

    def _append(self, name: str, values: NDArray[np.float64]) -> None:
        self.columns.setdefault(name, []).append(values)

    def collect(self) -> Result:
        """Return all records as one Result."""
        if self.kept == 0:
            raise NothingToMeasure(f"no record from {self.discard_ps:g} ps on; discard less")
        columns = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        averaged = columns["time"] >= self.discard_ps
        error, last = self.atom_error / self.kept, self.atom_last / self.kept
        residues = [residue for residue in self.topology.residues if not is_water(residue)]
        names = Names(self.topology)
        values: dict[str, Any] = {
            **columns,
            **{f"{name}_mean": column[averaged].mean() for name, column in columns.items() if name != "time"},
            "atom_error_largest": error.max(),
            "doubtful_share": np.mean(error > 0.5 * self.edges[-1]),
            "doubtful_above": 0.5 * self.edges[-1],
            "atom_error": error,
            "atom_last_bin": last,
            "residue_error": (np.add.reduceat(error, self.starts) / self.sizes)[self.shown],
            "residue_names": np.array([[names.name_residue(residue)] for residue in residues], dtype=str).reshape(
                -1, 1
            ),
            "residue_numbers": np.array([residue.resSeq for residue in residues]),
            "stretch_start": self.begins,
            "bin_shares": self.shares / self.counts[:, None],
            "residue_map": self.residues / self.counts[:, None],
            "edges": self.edges,
            "least_known": self._list_least_known(error, last),
        }
        units = {name: _find_unit(name) for name in values}
        low, high = self.edges[[0, -1]]
        method = _METHOD.format(bins=len(self.edges) - 1, low=low, high=high, start=self.discard_ps)
        return Result.of("confidence", method, "time", values, units, self.kept)

    def _list_least_known(self, error: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.str_]:
        worst = np.argsort(-error, kind="stable")[:LEAST_KNOWN].tolist()
        names = Names(self.topology)
        rows = [[names.name_atom(atom), f"{error[atom]:.3f}", f"{last[atom]:.3f}"] for atom in worst]
        return np.array(rows, dtype=str)


def _find_unit(name: str) -> str:
    if name in ("time", "stretch_start"):
        return "ps"
    plain = ("last_bin", "doubtful_share", "atom_last_bin", "bin_shares", "least_known")
    return "" if name.startswith(("residue_n", *plain)) else "eV/angstrom"
