"""energies.csv: one row of numbers with units in the column names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orbmm.files import open_regular
from orbmm.simulation.moment import Moment

COLUMNS = (
    "step",
    "time_ps",
    "potential_energy_kJ_mol",
    "kinetic_energy_kJ_mol",
    "total_energy_kJ_mol",
    "temperature_K",
)
LAST_COLUMN = "speed_ns_per_day"
VOLUME_COLUMN = "volume_nm3"


class TableWriter:
    """Appends rows; each is complete on its line before the next step begins."""

    needs_energy = True
    needs_confidence = False

    def __init__(self, path: Path, steps_between: int, append: bool, volume: bool = False) -> None:
        """volume: whether the volume of the box has a column, as where a barostat changes it"""
        self.path = path
        self.steps_between = steps_between
        self._volume = volume
        if not append:
            columns = [*COLUMNS, *([VOLUME_COLUMN] if volume else []), LAST_COLUMN]
            with open_regular(path, "wb") as stream:
                stream.write((",".join(columns) + "\n").encode())

    def report(self, moment: Moment) -> None:
        """Write the row of this moment, whose potential energy must be known."""
        potential = float("nan") if moment.potential_energy is None else moment.potential_energy
        energies = (potential, moment.kinetic_energy, potential + moment.kinetic_energy)
        row = [str(moment.step), f"{moment.time_ps:.6f}", *(f"{energy:.6f}" for energy in energies)]
        row.append(f"{moment.temperature:.3f}")
        if self._volume and moment.box is not None:
            row.append(f"{abs(np.linalg.det(moment.box)):.6f}")
        with open_regular(self.path, "ab") as stream:
            stream.write((",".join([*row, f"{moment.speed:.5g}"]) + "\n").encode())
