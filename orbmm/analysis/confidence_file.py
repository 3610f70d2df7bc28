"""The output of the confidence head for each atom along a run: confidence.dat, record by record, and its header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_json

DATA_FILE, HEADER_FILE = "confidence.dat", "confidence.json"
_ATOMS_PER_CHUNK = 2_000_000
_LARGEST_HEADER_BYTES = 100_000
_MOST_ATOMS = 100_000_000  # of a record that NumPy can describe


@dataclass(frozen=True)
class ConfidenceFile:
    """The records of a run, read anew as often as asked.

    path: the data. atoms: N. edges: (B + 1,) of the bins [eV/Å], ascending. most_bytes: how much counts of a file that
    the run still writes, whose torn last record is passed over; None for a run at rest.
    """

    path: Path
    atoms: int
    edges: NDArray[np.float64]
    most_bytes: int | None = None

    @property
    def record(self) -> np.dtype[Any]:
        """One record: step, time [ps], most probable bin (N,) of each atom and its expected error (N,) [eV/Å]."""
        return np.dtype(
            [("step", "<i8"), ("time_ps", "<f8"), ("bin", "u1", (self.atoms,)), ("error", "<f2", (self.atoms,))]
        )

    @property
    def size(self) -> int:
        """Bytes that count."""
        written = self.path.stat().st_size if self.path.is_file() else 0
        return written if self.most_bytes is None else min(written, self.most_bytes)

    def count(self) -> int:
        """Return the number of whole records.

        Raises AnalysisError for none, or for a torn last one of a run at rest.
        """
        whole, rest = divmod(self.size, self.record.itemsize)
        if rest and self.most_bytes is None:
            raise AnalysisError(
                f"{self.path}: torn after record {whole}; expected records of {self.record.itemsize} bytes for "
                f"{self.atoms} atoms; resume the run, which cuts it back"
            )
        if whole == 0:
            raise AnalysisError(f"{self.path}: holds no whole record; the run stopped before its first one")
        return whole

    def read_chunks(self) -> Iterator[NDArray[Any]]:
        """Arrays of records, as many at a time as memory is set aside for.

        Raises AnalysisError: no records, a torn one, a bin beyond the edges, an error that is not finite.
        """
        left, size = self.count(), max(1, _ATOMS_PER_CHUNK // self.atoms)
        with self.path.open("rb") as file:
            while left:
                records = np.fromfile(file, dtype=self.record, count=min(left, size))
                if np.any(records["bin"] >= len(self.edges) - 1) or not np.isfinite(records["error"]).all():
                    raise AnalysisError(
                        f"{self.path}: holds a bin beyond the {len(self.edges) - 1} of {HEADER_FILE}, or an error that "
                        "is not finite; the two files do not belong together or the run went wrong"
                    )
                yield records
                left -= len(records)


def read_confidence(folder: Path, growing: bool = False) -> ConfidenceFile | None:
    """The confidence of a run folder, None when the run wrote none. Raises AnalysisError for a damaged header.

    growing: the run still writes; until its first record is whole it counts as one that wrote none.
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
            f"{header}: has {atoms} atoms and {edges.size} edges; expected atoms, and edges that ascend"
        )
    file = ConfidenceFile(folder / DATA_FILE, atoms, edges)
    if growing:
        file = replace(file, most_bytes=file.size)
    return None if growing and file.size < file.record.itemsize else file
