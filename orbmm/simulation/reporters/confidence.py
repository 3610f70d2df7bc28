"""confidence.dat: what the model thinks of its forces, a record of fixed length every so many steps.

Each record holds the step, the time, and for each atom the most probable of the bins and the expected error [eV/Å];
confidence.json beside it says how many atoms there are, where the bins are and how often a record comes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from orbmm.files import open_regular, write_file
from orbmm.forces.atom_confidence import AtomConfidence
from orbmm.simulation.moment import Moment


def record_type(atoms: int) -> np.dtype:
    """One record of confidence.dat, without padding: 16 + 3 N bytes."""
    return np.dtype([("step", "<i8"), ("time_ps", "<f8"), ("bin", "u1", (atoms,)), ("error", "<f2", (atoms,))])


class ConfidenceWriter:
    """Appends records; after a kill only the last can be torn."""

    needs_energy = False
    needs_confidence = True

    def __init__(self, path: Path, atoms: int, steps_between: int, append: bool) -> None:
        self.path = path
        self.steps_between = steps_between
        self._type = record_type(atoms)
        if not append:
            open_regular(path, "wb").close()

    def report(self, moment: Moment) -> None:
        """Write the record of this moment, whose confidence must be known."""
        if moment.confidence is not None:
            self.write(moment.step, moment.time_ps, moment.confidence)

    def write(self, step: int, time_ps: float, confidence: AtomConfidence) -> None:
        """Append one record."""
        record = np.zeros((), dtype=self._type)
        record["step"], record["time_ps"] = step, time_ps
        record["bin"], record["error"] = confidence.bins, confidence.errors
        with open_regular(self.path, "ab") as stream:
            stream.write(record.tobytes())


def describe_records(path: Path, atoms: int, bin_edges: np.ndarray, every_fs: float) -> None:
    """Write the JSON file beside confidence.dat. bin_edges: (B + 1,) [eV/Å]."""
    facts = {"atoms": atoms, "bin_edges_ev_per_angstrom": bin_edges.tolist(), "every_fs": every_fs}
    write_file(path.with_suffix(".json"), json.dumps(facts, indent=1).encode())


def read_first_mean(path: Path, atoms: int) -> float | None:
    """The mean expected error [eV/Å] in the first record of a file, None where there is none."""
    kind = record_type(atoms)
    if not path.is_file() or path.stat().st_size < kind.itemsize:
        return None
    return float(np.nanmean(np.fromfile(path, dtype=kind, count=1)["error"].astype(np.float64)))
