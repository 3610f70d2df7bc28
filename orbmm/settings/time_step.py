"""Time steps: their number in a length of time, and the longest one allowed."""

from __future__ import annotations

import math
import re

from orbmm.errors import SettingsError

LONGEST_FS = 0.5
"""Longest time step with hydrogens of the usual mass: a bond to hydrogen vibrates with a period of 9 fs."""

HYDROGEN_AMU = 1.008
HEAVIEST_HYDROGEN_AMU = 4.0  # with more, the carbon of a methyl group would keep almost no mass

MEASURED_MODEL = "orb-mini-conservative-inf-xtb"
MEASURED_FS = ((1.0, 1.0), (3.0, 1.5), (4.0, 2.0))
"""Mass of the hydrogens [g/mol] and the longest step with which MEASURED_MODEL keeps its energy [fs].

Measured by scripts/embedded/measure_steps.py; see docs/validation.md.
"""

DIAGNOSED_FS = 2.0
"""The step that `orbmm diagnose --long-step` measures, with hydrogens of HEAVIEST_HYDROGEN_AMU [fs]."""

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


def check_timestep(
    timestep_fs: float, hydrogen_mass_amu: float | None, measured: bool = False, diagnosed: bool = False
) -> None:
    """Raise SettingsError for a step that is too long for the hydrogens.

    measured: the network is MEASURED_MODEL; for any other, steps grow with the period of a bond to hydrogen, which is
    that of the square root of its mass
    diagnosed: the settings name a diagnosis, which is read before the first step; it allows DIAGNOSED_FS
    """
    mass = hydrogen_mass_amu or HYDROGEN_AMU
    if diagnosed and timestep_fs <= DIAGNOSED_FS and mass >= HEAVIEST_HYDROGEN_AMU:
        return
    needed = _find_mass(timestep_fs, measured)
    if timestep_fs <= LONGEST_FS or mass >= needed:
        return
    known = [longest for least, longest in MEASURED_FS if measured and mass >= least]
    longest_fs = max([LONGEST_FS, *known] + [LONGEST_FS * mass**0.5] * (mass > HYDROGEN_AMU))
    heavier = f", or hydrogen_mass_amu of at least {needed:.3g}" if needed <= HEAVIEST_HYDROGEN_AMU else ""
    other = "" if measured else f". Longer steps were measured for {MEASURED_MODEL} only; see `diagnosis` of [run]"
    raise SettingsError(
        f"timestep_fs is {timestep_fs:g}, but a bond to hydrogen has a period of 9 fs, and hydrogens of {mass:g} g/mol "
        f"need steps of at most {longest_fs:.3g} fs; use that{heavier}{other}"
    )


def _find_mass(timestep_fs: float, measured: bool) -> float:
    """Return the least mass of the hydrogens for a time step [g/mol]."""
    known = [least for least, longest in MEASURED_FS if measured and timestep_fs <= longest]
    return min([(timestep_fs / LONGEST_FS) ** 2, *known])


OUTER_STEPS = 2
"""Steps between two corrections by the conservative model, unless the settings say otherwise.

With 2 the embedded pair drifts by 0.1 meV/atom/ps, with 4 by up to 1.7; see docs/validation.md.
"""

LONGEST_OUTER_FS, LONGEST_HEAVY_OUTER_FS = 2.0, 4.0
"""Longest time between two corrections that was shown to be stable, with usual and with the heaviest hydrogens [fs]."""


def check_outer_step(outer_fs: float, hydrogen_mass_amu: float | None) -> None:
    """Raise SettingsError for too long a time between two corrections by the conservative model."""
    heavy = (hydrogen_mass_amu or HYDROGEN_AMU) >= HEAVIEST_HYDROGEN_AMU
    longest = LONGEST_HEAVY_OUTER_FS if heavy else LONGEST_OUTER_FS
    if outer_fs > longest * (1.0 + 1e-9):
        way = "" if heavy else f", or {LONGEST_HEAVY_OUTER_FS:g} fs with hydrogen_mass_amu = {HEAVIEST_HYDROGEN_AMU:g}"
        raise SettingsError(
            f"timestep_fs times outer_steps is {outer_fs:g} fs, but longer outer steps than {longest:g} fs gain "
            f"energy; use that{way}"
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
