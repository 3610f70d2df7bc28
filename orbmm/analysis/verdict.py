"""From numbers to one line: stable or not, each number beside its limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orbmm.analysis.result import Result

_ERRORS_ALLOWED = 2


@dataclass(frozen=True)
class Limits:
    """What a healthy run keeps to.

    temperature_kelvin: largest distance of the mean from the bath's temperature; the mean's error is allowed on top,
        two standard errors, or while the run is too short to know the error, two fluctuations.
    broken_bonds: covalent bonds that were broken in any frame.
    stretched_fraction: part of all bonds and frames that is stretched (see `bonds`).
    rmsd_angstrom: largest deviation of the backbone, or of the heavy atoms where there is no backbone.
    """

    temperature_kelvin: float = 10.0
    broken_bonds: int = 0
    stretched_fraction: float = 0.001
    rmsd_angstrom: float = 3.0


class Outcome(StrEnum):
    """What a check says; a check that cannot decide does not make a run unstable."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Check:
    """One number against its limit: `says` for the verdict line, `limit` in words with its unit."""

    name: str
    says: str
    limit: str
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """All checks of a run together."""

    checks: tuple[Check, ...]

    @property
    def stable(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome is not Outcome.FAILED for check in self.checks)

    @property
    def line(self) -> str:
        """One line: "stable: ..." with every check, or "NOT stable: ..." with the failed ones first."""
        if not self.checks:
            return "not judged: neither bonds nor a solute nor a temperature to check"
        failed_first = sorted(self.checks, key=lambda check: check.outcome is not Outcome.FAILED)
        return ("stable: " if self.stable else "NOT stable: ") + ", ".join(check.says for check in failed_first)


def judge(results: Mapping[str, Result], limits: Limits | None = None) -> Verdict:
    """Check what was measured against the limits; what was not measured is not judged.

    results: by name, as `analyze_recording` gives them.
    """
    limits = limits or Limits()
    checks = []
    if "temperature" in results and "bath" in results["temperature"].values:
        checks.append(_check_temperature(results["temperature"], limits))
    if "bonds" in results:
        checks += _check_bonds(results["bonds"], limits)
    if "rmsd" in results:
        checks.append(_check_rmsd(results["rmsd"], limits))
    return Verdict(tuple(checks))


def _check_temperature(result: Result, limits: Limits) -> Check:
    mean, error, bath = (result.number(name) for name in ("mean", "mean_error", "bath"))
    converged = bool(result.number("converged"))
    margin = (
        _ERRORS_ALLOWED * error if converged else 2 * _ERRORS_ALLOWED * max(error, result.number("fluctuation") / 2)
    )
    limit = f"{bath:g} ± {limits.temperature_kelvin:g} K, and {margin:.1f} K on top for the error"
    digits = 1 if error < 0.95 else 0
    says = f"temperature {mean:.{digits}f} ± {error:.{digits}f} K"
    if abs(mean - bath) > limits.temperature_kelvin + margin:
        says += f" ({'hotter' if mean > bath else 'colder'} than {bath:g} K)"
        return Check("temperature", says, limit, Outcome.FAILED)
    if not converged:
        return Check("temperature", f"{says} (run too short to be sure)", limit, Outcome.UNDECIDED)
    return Check("temperature", says, limit, Outcome.PASSED)


def _check_bonds(result: Result, limits: Limits) -> list[Check]:
    broken = int(result.number("broken_ever"))
    names = result.values["broken_names"].tolist()
    says = f"{broken} bond{'s' if broken > 1 else ''} broken (first {names[0]})" if broken else "no broken bonds"
    checks = [Check("broken bonds", says, f"at most {limits.broken_bonds}", _outcome(broken <= limits.broken_bonds))]
    stretched = result.number("stretched_fraction")
    if stretched > limits.stretched_fraction:
        says = f"{100.0 * stretched:.2g} % of bonds stretched"
        checks.append(Check("stretched bonds", says, f"at most {limits.stretched_fraction:.2%}", Outcome.FAILED))
    return checks


def _check_rmsd(result: Result, limits: Limits) -> Check:
    group = "backbone" if "backbone" in result.values else "heavy_atoms"
    largest, last = result.number(f"{group}_largest"), result.number(f"{group}_last")
    words = {"backbone": "backbone", "heavy_atoms": "heavy-atom"}[group]
    says = f"{words} RMSD {last:.2f} Å (largest {largest:.2f})"
    return Check("rmsd", says, f"largest at most {limits.rmsd_angstrom:g} Å", _outcome(largest <= limits.rmsd_angstrom))


def _outcome(passed: bool) -> Outcome:
    return Outcome.PASSED if passed else Outcome.FAILED
