"""Lengths of time are read with their unit, and without one they are refused."""

from __future__ import annotations

import pytest

from orbmm.errors import SettingsError
from orbmm.settings import read_duration_ps


@pytest.mark.parametrize(
    "text, picoseconds", [("1ns", 1000.0), ("500 ps", 500.0), ("20fs", 0.02), (" 1.5us ", 1.5e6), ("1e-3ns", 1.0)]
)
def test_a_length_with_its_unit_is_read(text: str, picoseconds: float) -> None:
    assert read_duration_ps(text) == pytest.approx(picoseconds, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["", "1", "ns", "1 parsec", "1 NS", "1,5ns", "--1ns", "0ns", "-1ns", "nan ns", "1ns 2ps"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a length of time"):
        read_duration_ps(text)
