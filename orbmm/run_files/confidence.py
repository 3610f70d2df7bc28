"""confidence.dat: the output of the confidence head during a run, in records of fixed length.

Each record holds the step, the time and, for each atom, the most probable bin and the expected error [eV/Å].
confidence.json beside it holds the number of atoms, the edges of the bins and the time between two records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_json, write_file

DATA_FILE, HEADER_FILE = "confidence.dat", "confidence.json"
_ATOMS_PER_CHUNK = 2_000_000
_LARGEST_HEADER_BYTES = 100_000
_MOST_ATOMS = 100_000_000  # of a record that NumPy can describe


def record_type(atoms: int) -> np.dtype[Any]:
    """Return the type of one record, without padding: 16 + 3 N bytes."""
    return np.dtype([("step", "<i8"), ("time_ps", "<f8"), ("bin", "u1", (atoms,)), ("error", "<f2", (atoms,))])


def make_record(step: int, time_ps: float, bins: NDArray[np.uint8], errors: NDArray[Any]) -> bytes:
    """Return the bytes of one record. bins: (N,), most probable bin; errors: (N,), expected error [eV/Å]."""
    record = np.zeros((), dtype=record_type(len(bins)))
    record["step"], record["time_ps"] = step, time_ps
    record["bin"], record["error"] = bins, errors
    return record.tobytes()


def describe_records(path: Path, atoms: int, bin_edges: NDArray[Any], every_fs: float) -> None:
    """Write the JSON file beside the records. path: the file of the records; bin_edges: (B + 1,) [eV/Å]."""
    facts = {"atoms": atoms, "bin_edges_ev_per_angstrom": bin_edges.tolist(), "every_fs": every_fs}
    write_file(path.with_suffix(".json"), json.dumps(facts, indent=1).encode())


def read_first_mean(path: Path, atoms: int) -> float | None:
    """Return the mean expected error [eV/Å] in the first record of a file, None if there is no record."""
    kind = record_type(atoms)
    if not path.is_file() or path.stat().st_size < kind.itemsize:
        return None
    return float(np.nanmean(np.fromfile(path, dtype=kind, count=1)["error"].astype(np.float64)))


@dataclass(frozen=True)
class ConfidenceFile:
    """The records of a run. They are read from the file at each call.

    path: the data; atoms: N; edges: (B + 1,) of the bins [eV/Å], ascending
    most_bytes: size at which a file that the run still writes is cut, an incomplete last record is ignored; None for a
    run that has ended
    """

    path: Path
    atoms: int
    edges: NDArray[np.float64]
    most_bytes: int | None = None

    @property
    def record(self) -> np.dtype[Any]:
        """Return the type of a record: step, time [ps], most probable bin (N,) and expected error (N,) [eV/Å]."""
        return record_type(self.atoms)

    @property
    def size(self) -> int:
        """Return the number of bytes that are read."""
        written = self.path.stat().st_size if self.path.is_file() else 0
        return written if self.most_bytes is None else min(written, self.most_bytes)

    def count(self) -> int:
        """Return the number of complete records.

        Raises AnalysisError if there is none, or if the last record of a run that has ended is incomplete.
        """
        whole, rest = divmod(self.size, self.record.itemsize)
        if rest and self.most_bytes is None:
            raise AnalysisError(
                f"{self.path}: torn after record {whole}; expected records of {self.record.itemsize} bytes for "
                f"{self.atoms} atoms; resume the run, which removes the torn part"
            )
        if whole == 0:
            raise AnalysisError(f"{self.path}: holds no whole record; the run stopped before its first one")
        return whole

    def read_chunks(self) -> Iterator[NDArray[Any]]:
        """Yield arrays of records; each array holds about _ATOMS_PER_CHUNK values.

        Raises AnalysisError for no records, an incomplete one, a bin beyond the edges, or an error that is not finite.
        """
        left, size = self.count(), max(1, _ATOMS_PER_CHUNK // self.atoms)
        with self._open() as file:
            while left:
                records = np.fromfile(file, dtype=self.record, count=min(left, size))
                if np.any(records["bin"] >= len(self.edges) - 1) or not np.isfinite(records["error"]).all():
                    raise AnalysisError(
                        f"{self.path}: holds a bin beyond the {len(self.edges) - 1} of {HEADER_FILE}, or an error that "
                        "is not finite; the two files do not belong together or the run went wrong"
                    )
                yield records
                left -= len(records)

    def _open(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise AnalysisError(f"{self.path}: cannot be read ({error.strerror}); change its permissions") from error


def read_confidence(folder: Path, growing: bool = False) -> ConfidenceFile | None:
    """Return the confidence of a run folder, None if the run wrote none. Raises AnalysisError for a damaged header.

    growing: the run still writes; None also until its first record is complete
    """
    header = folder / HEADER_FILE
    if not header.is_file():
        return None
    try:
        about = read_json(header, _LARGEST_HEADER_BYTES)
        atoms = int(about["atoms"])
        edges = np.array(about["bin_edges_ev_per_angstrom"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, UnsafeFile) as error:
        raise AnalysisError(f"{header}: cannot be read as the header of {DATA_FILE} ({error})") from error
    if not 1 <= atoms <= _MOST_ATOMS or edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0.0):
        raise AnalysisError(
            f"{header}: has {atoms} atoms and {edges.size} edges; expected at least one atom and ascending edges"
        )
    file = ConfidenceFile(folder / DATA_FILE, atoms, edges)
    if growing:
        file = replace(file, most_bytes=file.size)
    return None if growing and file.size < file.record.itemsize else file
