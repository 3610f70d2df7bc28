"""The difference of two networks on the same atoms, such as a direct and a conservative one."""

from __future__ import annotations

import numpy as np

from orbmm.checkpoints.catalog import element_symbol
from orbmm.diagnose.field import Field, Place
from orbmm.run_files.diagnosis import Diagnostic

LARGEST_DIFFERENCE = 10.0  # [%] of the root mean square force


def measure_pair(field: Field, other: Field, place: Place, atomic_numbers: np.ndarray) -> Diagnostic:
    """Return the root mean square difference of the forces of two fields, in percent of the force of the first."""
    one, two = field.evaluate(place), other.evaluate(place)
    difference = two.forces - one.forces
    rms, size = (float(np.sqrt((values**2).mean())) for values in (difference, one.forces))
    by_element = {
        element_symbol(int(number)): 1000.0 * float(np.sqrt((difference[atomic_numbers == number] ** 2).mean()))
        for number in np.unique(atomic_numbers)
    }
    return Diagnostic(
        "difference of the two networks",
        100.0 * rms / size if size > 0.0 else float("nan"),
        "% of the force",
        LARGEST_DIFFERENCE,
        "multiple time steps were measured with the embedded pair, whose forces differ by less than this",
        {
            "forces_mev_per_angstrom": 1000.0 * rms,
            "by_element_mev_per_angstrom": by_element,
            "energy_mev_per_atom": 1000.0 * (two.energy - one.energy) / len(atomic_numbers),
        },
    )
