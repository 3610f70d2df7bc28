"""energies.csv: one row of numbers with units in the column names."""

from __future__ import annotations

from pathlib import Path

from orbmm.simulation.moment import Moment

COLUMNS = (
    "step",
    "time_ps",
    "potential_energy_kJ_mol",
    "kinetic_energy_kJ_mol",
    "total_energy_kJ_mol",
    "temperature_K",
    "speed_ns_per_day",
)


class TableWriter:
    """Appends rows; each is complete on its line before the next step begins."""

    needs_energy = True

    def __init__(self, path: Path, steps_between: int, append: bool) -> None:
        self.path = path
        self.steps_between = steps_between
        if not append:
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def report(self, moment: Moment) -> None:
        """Write the row of this moment, whose potential energy must be known."""
        potential = float("nan") if moment.potential_energy is None else moment.potential_energy
        energies = (potential, moment.kinetic_energy, potential + moment.kinetic_energy)
        row = [str(moment.step), f"{moment.time_ps:.6f}", *(f"{energy:.6f}" for energy in energies)]
        row += [f"{moment.temperature:.3f}", f"{moment.speed:.5g}"]
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(",".join(row) + "\n")
