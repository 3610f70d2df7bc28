"""diagnosis.json: what `orbmm diagnose` measured of a network on one structure."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_json

FORMAT = 1
LONG_STEP_NAMES = ("drift at ", "spread at ")
_LARGEST_FILE = 10_000_000  # bytes


@dataclass(frozen=True)
class Diagnostic:
    """One measured quantity and its judgement.

    threshold: the largest value that passes, None where the value is only shown; reason: why that threshold
    details: further numbers of the same measurement, with units in their names
    """

    name: str
    value: float
    unit: str
    threshold: float | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Return whether the size of the value is within the threshold, None without a threshold; NaN never passes."""
        return None if self.threshold is None else bool(abs(self.value) <= self.threshold)

    def describe_limit(self) -> str:
        """Return the threshold as text, such as "at most 0.1:", '' without one."""
        return "" if self.threshold is None else f"at most {self.threshold:.3g}:"


@dataclass(frozen=True)
class Diagnosis:
    """All diagnostics of one network on one structure.

    model, kind, weights_sha256, precision: of the network; structure: where the coordinates came from
    missing: what was not measured, by name, with the reason; advice: sentences on what follows from the numbers
    elements: the atoms of each element, by its symbol; empty in a file that does not say it
    """

    model: str
    kind: str
    weights_sha256: str
    precision: str
    structure: str
    atoms: int
    diagnostics: tuple[Diagnostic, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    elements: Mapping[str, int] = field(default_factory=dict)

    def find(self, name: str) -> Diagnostic:
        """Return the diagnostic with a name. Raises KeyError."""
        found = next((each for each in self.diagnostics if each.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def long_step(self) -> tuple[Diagnostic, ...]:
        """Return drift and spread of the total energy at a long step; empty if they were not measured."""
        return tuple(each for each in self.diagnostics if each.name.startswith(LONG_STEP_NAMES))

    @property
    def passed(self) -> bool:
        """Return True if nothing that was judged failed."""
        return all(each.passed is not False for each in self.diagnostics)

    @property
    def verdict(self) -> str:
        """Return one line: how many checks passed, and which did not."""
        judged = [each for each in self.diagnostics if each.passed is not None]
        failed = [each.name for each in judged if not each.passed]
        if not failed:
            return f"{self.model} passes all {len(judged)} checks on {self.structure}"
        return f"{self.model} fails {len(failed)} of {len(judged)} checks on {self.structure}: {', '.join(failed)}"


def format_diagnosis(diagnosis: Diagnosis) -> bytes:
    """Return a diagnosis with its verdict as JSON; numbers that are not finite become null."""
    written = {"format": FORMAT, "verdict": diagnosis.verdict, "passed": diagnosis.passed, **asdict(diagnosis)}
    for row, diagnostic in zip(written["diagnostics"], diagnosis.diagnostics, strict=True):
        row["passed"] = diagnostic.passed
    return (json.dumps(_make_finite(written), indent=1, ensure_ascii=False) + "\n").encode()


def _make_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _make_finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_make_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_diagnosis(path: Path) -> Diagnosis:
    """Read a file of format_diagnosis. Raises AnalysisError for any other file."""
    try:
        found = read_json(path, _LARGEST_FILE)
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, expected {FORMAT}")
        rows = [{key: value for key, value in row.items() if key != "passed"} for row in found["diagnostics"]]
        diagnostics = tuple(Diagnostic(**{**row, "value": _read_number(row["value"])}) for row in rows)
        known = {key: found[key] for key in ("model", "kind", "weights_sha256", "precision", "structure", "atoms")}
        known |= {"missing": found["missing"], "elements": _read_elements(found.get("elements", {}))}
        return Diagnosis(**known, diagnostics=diagnostics, advice=tuple(found["advice"]))
    except (OSError, UnsafeFile, ValueError, KeyError, TypeError) as error:
        raise AnalysisError(f"{path}: cannot be read as a diagnosis ({error}); run `orbmm diagnose` again") from error


def _read_elements(value: Any) -> dict[str, int]:
    """Return the number of atoms of each element. Raises TypeError for anything else."""
    if not isinstance(value, Mapping):
        raise TypeError("elements is no table of numbers of atoms")
    return {str(symbol): operator.index(count) for symbol, count in value.items()}


def _read_number(value: Any) -> float:
    return math.nan if value is None else float(value)
