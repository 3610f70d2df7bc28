"""Describe the findings that are not single numbers: ligands of the metal, the kind of its oxygen, and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from orbmm.analysis.result import Result

_MOST, _LEAST_KNOWN = 10, 5


def list_findings(results: Mapping[str, Result]) -> list[str]:
    """Return one line for each finding; at most ten hops, exchanges and bond events."""
    values = {name: result.values for name, result in results.items()}
    lines = []
    if "metal_site" in values:
        lines.append("ligands of the metal: " + ", ".join(values["metal_site"]["ligands_end"][:, 0].tolist()))
        lines += [
            f"ligand {row[1]} at {_tell_time(results['metal_site'], row[0])}: {row[2]}"
            for row in _take(values["metal_site"]["exchanges"])
        ]
    if "metal_oxygen" in values.get("protonation", {}):
        (first, start), (last, end) = values["protonation"]["metal_oxygen"].tolist()
        lines.append(f"oxygen on the metal: {first}, {start}" + _add_end(f"{first}, {start}", f"{last}, {end}"))
    if "water_wire" in values:
        lines.append("water wire: " + _tell_wire(values["water_wire"]["wire_start"], values["water_wire"]["wire_end"]))
    if "carbon_dioxide" in values:
        start, end = values["carbon_dioxide"]["state"][0].tolist()
        lines.append(f"carbon dioxide found: {start}" + _add_end(start, end))
    if "protonation" in values:
        lines += [
            f"proton {row[1]} from {row[2]} to {row[3]} at {row[0]} ps" for row in _take(values["protonation"]["hops"])
        ]
    if "confidence" in values:
        rows = values["confidence"]["least_known"].tolist()[:_LEAST_KNOWN]
        lines.append("least known: " + ", ".join(f"{name} {error} eV/Å" for name, error, _ in rows))
    if "bond_events" in values:
        lines += [f"bond {row[1]} at {row[0]} ps: {row[2]} {row[3]}" for row in _take(values["bond_events"]["events"])]
    return lines


def _tell_time(result: Result, time: str) -> str:
    return f"frame {time}" if result.units["time"] == "frame" else f"{time} ps"


def _tell_wire(start: NDArray[Any], end: NDArray[Any]) -> str:
    first, last = (" ".join(wire[:, 0].tolist()) or "none" for wire in (start, end))
    return first + _add_end(first, last)


def _add_end(start: str, end: str) -> str:
    return f"; at the end {end}" if end != start else ""


def _take(rows: NDArray[Any]) -> list[list[str]]:
    return list(rows.tolist()[:_MOST])
