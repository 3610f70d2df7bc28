"""Describe the findings that are not single numbers: ligands of the metal, the kind of its oxygen, and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
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
        lines.append("largest expected force errors: " + ", ".join(f"{name} {error} eV/Å" for name, error, _ in rows))
    if "bond_events" in values:
        lines += [f"bond {row[1]} at {row[0]} ps: {row[2]} {row[3]}" for row in _take(values["bond_events"]["events"])]
    return lines


def explain_no_figure(result: Result) -> str | None:
    """Return why a page shows a result without a figure: nothing happens in it, or it is one moment; None otherwise."""
    says = _UNCHANGED[result.name](result) if result.name in _UNCHANGED else None
    if says is None and result.axis == "time" and len(result.values["time"]) < 2 and result.name != "ramachandran":
        return "a single moment: nothing to draw along time"
    return says


def _describe_bond_events(result: Result) -> str | None:
    return None if _any(result, "formed", "broken") else "no bond formed or broke"


def _describe_protonation(result: Result) -> str | None:
    changing = [name for name in result.columns if name != result.axis and np.ptp(result.values[name]) > 0]
    if changing or _any(result, "hydronium", "hydroxide") or len(result.values["hops"]):
        return None
    return "no proton moved; no hydronium, no hydroxide"


def _describe_water_wire(result: Result) -> str | None:
    return None if result.number("connected") else "no wire of waters in any frame"


def _describe_hydrogen_bonds(result: Result) -> str | None:
    kinds = {
        "among waters": "water_water",
        "between solute and water": "solute_water",
        "in the solute": "solute_solute",
    }
    if any(np.ptp(result.values[name]) > 0 for name in kinds.values()):
        return None
    found = [f"{result.number(f'{name}_mean'):g} {words}" for words, name in kinds.items() if _any(result, name)]
    return "the same in every frame: " + ", ".join(found) if found else "no hydrogen bond in any frame"


def _describe_native_contacts(result: Result) -> str | None:
    kept = result.values["kept"]
    return f"all {result.number('contacts'):g} contacts kept in every frame" if kept.min() > 0.9995 else None


def _describe_density(result: Result) -> str | None:
    density = result.values["density"]
    same = len(density) > 1 and np.ptp(density) < 1e-4 * density.mean()
    return f"constant at {result.number('density_mean'):.3f} g/cm³: the volume was fixed" if same else None


def _any(result: Result, *names: str) -> bool:
    return any(bool(result.values[name].any()) for name in names)


_UNCHANGED: Mapping[str, Callable[[Result], str | None]] = {
    "bond_events": _describe_bond_events,
    "protonation": _describe_protonation,
    "water_wire": _describe_water_wire,
    "hydrogen_bonds": _describe_hydrogen_bonds,
    "native_contacts": _describe_native_contacts,
    "density": _describe_density,
}


def _tell_time(result: Result, time: str) -> str:
    return f"frame {time}" if result.units["time"] == "frame" else f"{time} ps"


def _tell_wire(start: NDArray[Any], end: NDArray[Any]) -> str:
    first, last = (" ".join(wire[:, 0].tolist()) or "none" for wire in (start, end))
    return first + _add_end(first, last)


def _add_end(start: str, end: str) -> str:
    return f"; at the end {end}" if end != start else ""


def _take(rows: NDArray[Any]) -> list[list[str]]:
    return list(rows.tolist()[:_MOST])
