"""Temperature of a run: is it the one that was asked for?"""

from __future__ import annotations

import math

import numpy as np

from orbmm.analysis.blocks import average_blocks
from orbmm.analysis.energy_table import EnergyTable
from orbmm.analysis.result import Result
from orbmm.units import KJ_PER_MOL_PER_KELVIN

_METHOD = (
    "Temperature 2 K / (f R) from the kinetic energy K with f = {freedom} degrees of freedom{rule}; mean from "
    "{start:g} ps on, standard error by block averaging (Flyvbjerg and Petersen 1989){converged}."
)


def measure_temperature(
    energies: EnergyTable, atoms: int, discard_ps: float = 0.0, bath_kelvin: float | None = None
) -> Result:
    """Mean temperature after the equilibration cut, its standard error and its fluctuation [K].

    energies: the table of a run; atoms: how many there are; discard_ps: time that the mean leaves out.
    bath_kelvin: the temperature that was asked for, kept beside the measured one; None when unknown.
    Raises AnalysisError when the cut leaves fewer than two rows.
    """
    kept = energies.start_at(discard_ps)
    average = average_blocks(kept.temperature)
    freedom = find_degrees_of_freedom(energies)
    values = {
        "time": energies.time_ps,
        "temperature": energies.temperature,
        "mean": average.mean,
        "mean_error": average.error,
        "fluctuation": kept.temperature.std(ddof=1),
        "fluctuation_expected": average.mean * math.sqrt(2.0 / freedom),
        "degrees_of_freedom": freedom,
        "discarded": discard_ps,
        "converged": int(average.converged),
    }
    if bath_kelvin is not None:
        values["bath"] = bath_kelvin
    units = dict.fromkeys(values, "K") | {"degrees_of_freedom": "", "converged": "", "time": "ps", "discarded": "ps"}
    method = _METHOD.format(
        freedom=freedom,
        rule=_name_rule(freedom, atoms),
        start=max(discard_ps, float(energies.time_ps[0])),
        converged="" if average.converged else ", which has not levelled off: the run is short",
    )
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return Result("temperature", method, "time", arrays, units, len(kept.time_ps))


def find_degrees_of_freedom(energies: EnergyTable) -> int:
    """The number of degrees of freedom that relates the table's kinetic energies to its temperatures."""
    warm = energies.temperature > 0.0
    if not warm.any():
        return 0
    ratio = 2.0 * energies.kinetic[warm] / (KJ_PER_MOL_PER_KELVIN * energies.temperature[warm])
    return round(float(np.median(ratio)))


def _name_rule(freedom: int, atoms: int) -> str:
    rules = {3 * atoms - 3: " (3 N - 3: the centre of mass rests)", 3 * atoms: " (3 N)"}
    return rules.get(freedom, f" (3 N less {3 * atoms - freedom} constraints)" if freedom < 3 * atoms else "")
