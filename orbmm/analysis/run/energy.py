"""Energies along a run: their drift and their fluctuation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.statistics import average_blocks
from orbmm.run_files.energies import EnergyTable
from orbmm.units import EV_PER_KJ_PER_MOL

_MEV_PER_EV = 1000.0
_FEWEST_ROWS = 2
_METHOD = (
    "Drift of potential and total energy by least squares from {start:g} ps on, per atom ({atoms} atoms); its error "
    "from the residuals and their correlation. With a thermostat the total energy is no conserved quantity: the "
    "drift tells whether the run is still relaxing or heating, not how exact the integration is."
)


def compute_energy(energies: EnergyTable, atoms: int, discard_ps: float = 0.0) -> Result:
    """Compute drift [meV/atom/ps] and fluctuation [meV/atom] of potential and total energy, and the mean potential
    [kJ/mol].

    energies: the table of a run; atoms: how many there are; discard_ps: time left out at the start.
    Raises NothingToMeasure for a table of fewer than two rows, AnalysisError when the cut leaves fewer than two.
    """
    kept = keep_rows(energies, discard_ps)
    per_atom = EV_PER_KJ_PER_MOL * _MEV_PER_EV / atoms
    potential = average_blocks(kept.potential)
    values: dict[str, Any] = {
        "time": energies.time_ps,
        "potential": energies.potential,
        "kinetic": energies.kinetic,
        "total": energies.total,
        "potential_mean": potential.mean,
        "potential_mean_error": potential.error,
        "discarded": discard_ps,
    }
    units = dict.fromkeys(values, "kJ/mol") | {"time": "ps", "discarded": "ps"}
    for name, series in {"potential": kept.potential, "total": kept.total}.items():
        drift, error, fluctuation = fit_drift(kept.time_ps, series * per_atom)
        values |= {f"{name}_drift": drift, f"{name}_drift_error": error, f"{name}_fluctuation": fluctuation}
        units |= {
            f"{name}_drift": "meV/atom/ps",
            f"{name}_drift_error": "meV/atom/ps",
            f"{name}_fluctuation": "meV/atom",
        }
    method = _METHOD.format(start=max(discard_ps, float(energies.time_ps[0])), atoms=atoms)
    return Result.of("energy", method, "time", values, units, len(kept.time_ps))


def keep_rows(energies: EnergyTable, discard_ps: float) -> EnergyTable:
    """Return the rows after the cut.

    Raises NothingToMeasure for a table of fewer than two rows, AnalysisError when the cut leaves fewer than two.
    """
    if len(energies.time_ps) < _FEWEST_ROWS:
        raise NothingToMeasure(f"energies.csv has 1 row; a mean takes at least {_FEWEST_ROWS}")
    return energies.start_at(discard_ps)


def fit_drift(time_ps: NDArray[np.float64], series: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return slope of a straight line through a series, the slope's standard error, and the spread about the line.

    time_ps, series: (n,), n >= 2. The error of independent residuals is enlarged by the square root of their
    statistical inefficiency; it is NaN for fewer than four points.
    """
    elapsed = time_ps - time_ps.mean()
    slope = float(elapsed @ (series - series.mean()) / (elapsed @ elapsed))
    residuals = series - series.mean() - slope * elapsed
    if len(series) < 4:
        return slope, math.nan, float(residuals.std())
    spread = math.sqrt(float(residuals @ residuals) / (len(series) - 2))
    inefficiency = average_blocks(residuals).inefficiency
    return slope, spread * math.sqrt(inefficiency / float(elapsed @ elapsed)), spread
