"""Temperature of a run, of all atoms and of each element: is it the one that was asked for?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.result import Result
from orbmm.analysis.run.energy import keep_rows
from orbmm.analysis.statistics import average_blocks
from orbmm.run_files.energies import EnergyTable
from orbmm.units import KJ_PER_MOL_PER_KELVIN

LEAST_RELAXATIONS = 5.0
"""Relaxation times of the bath (1 / friction) that a run must cover before its mean temperature is judged."""

_METHOD = (
    "Temperature 2 K / (f R) from the kinetic energy K with f = {freedom} degrees of freedom{rule}; mean from "
    "{start:g} ps on, standard error by block averaging (Flyvbjerg and Petersen 1989){converged}.{elements}"
)


_OF_ELEMENTS = (
    " The temperature of an element counts 3 degrees of freedom an atom, less its part of those that the centre of "
    "mass takes."
)


@dataclass(frozen=True)
class Bath:
    """The thermostat that was asked for: temperature [K] and Langevin friction [1/ps], None when unknown."""

    kelvin: float
    friction_per_ps: float | None = None


def compute_temperature(energies: EnergyTable, atoms: int, discard_ps: float = 0.0, bath: Bath | None = None) -> Result:
    """Compute mean temperature after the equilibration cut, its standard error and its fluctuation [K].

    The same of each element, where the table has it.

    energies: the table of a run; atoms: how many there are; discard_ps: time that the mean leaves out.
    bath: what was asked for, kept beside what was measured; None when unknown. Weak friction lets go of heat slowly:
    blocks of a run shorter than a few relaxation times cannot see how slowly, so their error is not believed.
    Raises NothingToMeasure for a table of fewer than two rows, AnalysisError when the cut leaves fewer than two.
    """
    kept = keep_rows(energies, discard_ps)
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
        "converged": int(average.converged and _spans_relaxation(kept, bath)),
    }
    if bath is not None:
        values["bath"] = bath.kelvin
    values |= _describe_elements(energies.of_elements, kept)
    units = dict.fromkeys(values, "K") | {"degrees_of_freedom": "", "converged": "", "time": "ps", "discarded": "ps"}
    method = _METHOD.format(
        freedom=freedom,
        rule=_name_rule(freedom, atoms),
        start=max(discard_ps, float(energies.time_ps[0])),
        converged="" if values["converged"] else "; the run is too short to be sure of that error",
        elements=_OF_ELEMENTS if energies.of_elements else "",
    )
    return Result.of("temperature", method, "time", values, units, len(kept.time_ps))


def _describe_elements(series: Mapping[str, NDArray[np.float64]], kept: EnergyTable) -> dict[str, Any]:
    """Return the temperatures of each element along time, with means; nothing for a table without them.

    series: of the whole run; kept: the rows for the means. The error of a mean is NaN until the rows can show it.
    """
    values: dict[str, Any] = {}
    for symbol, temperatures in series.items():
        average = average_blocks(kept.of_elements[symbol])
        values[f"temperature_{symbol}"] = temperatures
        values[f"{symbol}_mean"] = average.mean
        values[f"{symbol}_mean_error"] = average.error if average.converged else math.nan
    return values


def _spans_relaxation(kept: EnergyTable, bath: Bath | None) -> bool:
    """Tell whether the rows cover enough relaxation times of the bath for block averages to give their error."""
    if bath is None or bath.friction_per_ps is None:
        return True
    return (kept.time_ps[-1] - kept.time_ps[0]) * bath.friction_per_ps >= LEAST_RELAXATIONS


def find_degrees_of_freedom(energies: EnergyTable) -> int:
    """Return the number of degrees of freedom that relates the table's kinetic energies to its temperatures."""
    warm = energies.temperature > 0.0
    if not warm.any():
        return 0
    ratio = 2.0 * energies.kinetic[warm] / (KJ_PER_MOL_PER_KELVIN * energies.temperature[warm])
    return round(float(np.median(ratio)))


def _name_rule(freedom: int, atoms: int) -> str:
    rules = {3 * atoms - 3: " (3 N - 3: the centre of mass rests)", 3 * atoms: " (3 N)"}
    return rules.get(freedom, f" (3 N less {3 * atoms - freedom} constraints)" if freedom < 3 * atoms else "")
