"""Lengths of time as people write them: "1ns", "500 ps", "20fs"."""

from __future__ import annotations

import math
import re

from orbmm.errors import SettingsError

_PS_PER_UNIT = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
_WRITTEN = re.compile(r"\s*(?P<number>[^a-zA-Z\s]+(?:[eE][+-]?\d+)?)\s*(?P<unit>[a-zA-Z]+)\s*")


def read_duration_ps(text: str) -> float:
    """The length of time [ps]. Raises SettingsError for a missing or unknown unit and for what is no positive number."""
    found = _WRITTEN.fullmatch(text)
    if found is None or found["unit"] not in _PS_PER_UNIT:
        raise SettingsError(f"'{text}' is no length of time; write a number and one of {', '.join(_PS_PER_UNIT)}: 1ns")
    try:
        number = float(found["number"])
    except ValueError as error:
        raise SettingsError(f"'{text}' is no length of time: '{found['number']}' is no number") from error
    if not (math.isfinite(number) and number > 0.0):
        raise SettingsError(f"'{text}' is no length of time to add; it must be above 0")
    return number * _PS_PER_UNIT[found["unit"]]
