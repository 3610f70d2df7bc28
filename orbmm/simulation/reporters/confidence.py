"""Write confidence.dat."""

from __future__ import annotations

from pathlib import Path

from orbmm.files import open_regular, require_regular
from orbmm.forces.confidence import AtomConfidence
from orbmm.run_files.confidence import make_record, record_type
from orbmm.simulation.dynamics.frame import Frame


class ConfidenceWriter:
    """Writer of confidence.dat. If the process is killed, only the last record can be incomplete."""

    needs_energy = False
    needs_confidence = True

    def __init__(self, path: Path, steps_between: int, append: bool) -> None:
        self.path = path
        self.steps_between = steps_between
        if not append:
            open_regular(path, "wb").close()

    def report(self, frame: Frame) -> None:
        """Write the record of this frame, whose confidence must be known."""
        if frame.confidence is not None:
            self.write(frame.step, frame.time_ps, frame.confidence)

    def write(self, step: int, time_ps: float, confidence: AtomConfidence) -> None:
        """Append one record."""
        with open_regular(self.path, "ab") as stream:
            stream.write(make_record(step, time_ps, confidence.bins, confidence.errors))


def count_records(path: Path, atoms: int) -> int:
    """Return 0, 1 or 2 for no complete record, one, or more. atoms: in a record"""
    size, record = require_regular(path), record_type(atoms).itemsize
    return 2 if size > record else int(size == record)
