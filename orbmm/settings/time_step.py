"""Time steps: their number in a length of time, and the longest one allowed."""

from __future__ import annotations

import math
import re

from orbmm.errors import SettingsError

LONGEST_FS = 0.5
"""Longest time step with hydrogens of the usual mass: a bond to hydrogen vibrates with a period of 9 fs."""

HYDROGEN_AMU = 1.008
MOST_STEPS = 2**53  # beyond, a float cannot hold every whole number


def count_steps(name: str, value: float, timestep_fs: float) -> int:
    """Return the number of time steps in a length of time, whose unit is the end of its name (_ps or _fs).

    Raises SettingsError if that is not a whole number of at least 1.
    """
    time_fs = value * (1000.0 if name.endswith("_ps") else 1.0)
    exact = time_fs / timestep_fs  # may be infinite for extreme values
    steps = round(exact) if exact < MOST_STEPS else 0
    if steps < 1 or abs(steps * timestep_fs - time_fs) > 1e-6 * time_fs:
        raise SettingsError(
            f"{name} is {value!r}, but must be a whole number of time steps of {timestep_fs:g} fs (timestep_fs)"
        )
    return steps


def check_timestep(timestep_fs: float, hydrogen_mass_amu: float | None) -> None:
    """Raise SettingsError for a step that is too long for the hydrogens.

    The period of a bond to hydrogen grows with the square root of its mass.
    """
    needed = (timestep_fs / LONGEST_FS) ** 2  # [amu]
    if timestep_fs > LONGEST_FS and (hydrogen_mass_amu or HYDROGEN_AMU) < needed:
        raise SettingsError(
            f"timestep_fs is {timestep_fs:g}, but a bond to hydrogen has a period of 9 fs and needs steps of at most "
            f"{LONGEST_FS:g} fs; use that, or heavier hydrogens: hydrogen_mass_amu of at least {needed:.3g}"
        )


_PS_PER_UNIT = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
_WRITTEN = re.compile(r"\s*(?P<number>[^a-zA-Z\s]+(?:[eE][+-]?\d+)?)\s*(?P<unit>[a-zA-Z]+)\s*")


def read_duration_ps(text: str) -> float:
    """Return the length of time [ps] in a text such as "1ns".

    Raises SettingsError for a missing or unknown unit, and for a number that is not positive.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or found["unit"] not in _PS_PER_UNIT:
        raise SettingsError(
            f"'{text}' is not a length of time; write a number and one of {', '.join(_PS_PER_UNIT)}: 1ns"
        )
    try:
        number = float(found["number"])
    except ValueError as error:
        raise SettingsError(f"'{text}' is not a length of time: '{found['number']}' is not a number") from error
    if not (math.isfinite(number) and number > 0.0):
        raise SettingsError(f"'{text}' is not a length of time to add; it must be above 0")
    return number * _PS_PER_UNIT[found["unit"]]
