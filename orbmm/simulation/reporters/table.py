"""Write energies.csv and equilibration.csv."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orbmm.files import open_regular
from orbmm.run_files.energies import EnergyRow, find_elements, format_header, format_row, has_rotation
from orbmm.simulation.dynamics.frame import Frame


@dataclass(frozen=True)
class OptionalColumns:
    """Columns that not every table has.

    volume: of the box, as with a barostat; dispersion: the part of the potential energy that is an added dispersion
    elements: symbols, for the temperature of each; rotation: the rotational gradient
    """

    volume: bool = False
    dispersion: bool = False
    elements: tuple[str, ...] = ()
    rotation: bool = False


_LONGEST_START = 4096  # bytes of the header and the row of step 0


class TableWriter:
    """Writer of a table of energies. Each row is complete before the next step."""

    needs_energy = True
    needs_confidence = False

    def __init__(self, path: Path, steps_between: int, append: bool, columns: OptionalColumns | None = None) -> None:
        """Write the header, unless an existing file is continued, which keeps its columns."""
        self.path = path
        self.steps_between = steps_between
        self._columns = columns or OptionalColumns()
        if append:
            with open_regular(path, "rb") as stream:
                header = stream.readline().decode(errors="replace")
            self._columns = replace(self._columns, elements=find_elements(header), rotation=has_rotation(header))
        else:
            shown = self._columns
            with open_regular(path, "wb") as stream:
                stream.write(format_header(shown.volume, shown.dispersion, shown.elements, shown.rotation).encode())

    def report(self, frame: Frame) -> None:
        """Write the row of this frame, whose potential energy must be known."""
        volume = None
        if self._columns.volume and frame.box is not None:
            volume = float(abs(np.linalg.det(frame.box)))
        row = EnergyRow(
            step=frame.step,
            time_ps=frame.time_ps,
            potential=float("nan") if frame.potential_energy is None else frame.potential_energy,
            kinetic=frame.kinetic_energy,
            temperature=frame.temperature,
            speed=frame.speed,
            volume=volume,
            dispersion=frame.dispersion_energy if self._columns.dispersion else None,
            rotation=_know(frame.rotational_gradient) if self._columns.rotation else None,
            of_elements=[frame.element_temperatures[symbol] for symbol in self._columns.elements],
        )
        with open_regular(self.path, "ab") as stream:
            stream.write(format_row(row).encode())


def _know(value: float | None) -> float:
    """Return NaN for what this run does not know, though the table that it continues has a column for it."""
    return float("nan") if value is None else value


def count_rows(path: Path, atoms: int) -> int:
    """Return 0, 1 or 2 for no complete row, only that of step 0, or a later row, which may be incomplete."""
    with open_regular(path, "rb") as stream:
        size, head = os.fstat(stream.fileno()).st_size, stream.read(_LONGEST_START)
    *whole, torn = head.split(b"\n")[1:] or [b""]
    later = any(row and not row.startswith(b"0,"[: len(row)]) for row in (*whole, torn))
    return 2 if later or size > len(head) else min(2, len(whole))
