"""From numbers to one line: stable or not, each number beside its limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orbmm.analysis.result import Result, write_error

_ERRORS_ALLOWED = 2
_ERRORS_OF_ELEMENTS = 4


@dataclass(frozen=True)
class Limits:
    """The limits that a healthy run stays within.

    temperature_kelvin: largest distance of the mean from the bath's temperature; the mean's error is allowed on top,
        two standard errors, or while the run is too short to know the error, two fluctuations.
    broken_bonds: covalent bonds that were broken in any frame.
    stretched_fraction: part of all bonds and frames that is stretched (see `bonds`).
    rmsd_angstrom: largest deviation of the backbone, or of the heavy atoms where there is no backbone.
    bent_share: frames of the last quarter in which some angle between bonds is bent (see `angles`); more is a lasting
    change.
    drift_mev_per_atom_ps: of the potential energy; two standard errors are allowed on top. A drift that is not below
    the limit by two standard errors either is undecided.
    element_kelvin: largest excess of the mean temperature of an element over that of all atoms; four standard errors
        are allowed on top, because an element may have few atoms.
    doubtful_share: atoms of which the model expects a force error in the upper half of its scale (see `confidence`).
    equipartition_chance: least chance of the temperatures of the elements, were all as hot as the bath.
    """

    temperature_kelvin: float = 10.0
    broken_bonds: int = 0
    stretched_fraction: float = 0.001
    rmsd_angstrom: float = 3.0
    bent_share: float = 0.5
    drift_mev_per_atom_ps: float = 1.0
    element_kelvin: float = 10.0
    doubtful_share: float = 0.01
    equipartition_chance: float = 1e-6


class Outcome(StrEnum):
    """The outcome of a check; one that cannot decide, or only calls for caution, does not make a run unstable."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    CAUTION = "caution"


_SEVERITY = {Outcome.FAILED: 0, Outcome.CAUTION: 1}


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
        """Tell whether no check failed."""
        return all(check.outcome is not Outcome.FAILED for check in self.checks)

    @property
    def line(self) -> str:
        """Return one line: "stable: ..." or "NOT stable: ..." with every check, failed ones first, then calls for
        caution.
        """
        if not self.checks:
            return "not judged: neither bonds nor a solute nor a temperature to check"
        worst_first = sorted(self.checks, key=lambda check: _SEVERITY.get(check.outcome, len(_SEVERITY)))
        return ("stable: " if self.stable else "NOT stable: ") + ", ".join(check.says for check in worst_first)


def judge(results: Mapping[str, Result], limits: Limits | None = None, stopped: str | None = None) -> Verdict:
    """Check what was measured against the limits; what was not measured is not judged.

    results: by name, as `analyze_recording` gives them. stopped: why the guard stopped the run, which fails it.
    """
    limits = limits or Limits()
    checks: list[Check] = []
    if stopped is not None:
        checks.append(Check("end", f"stopped by the guard ({stopped})", "not stopped by the guard", Outcome.FAILED))
    for name, check in _CHECKS.items():
        if name in results:
            checks += check(results[name], limits)
    return Verdict(tuple(checks))


def _check_temperature(result: Result, limits: Limits) -> list[Check]:
    if "bath" not in result.values:
        return []
    mean, error, bath = (result.number(name) for name in ("mean", "mean_error", "bath"))
    converged = bool(result.number("converged"))
    least = result.number("fluctuation") / 2
    unsure = max(error, least) if math.isfinite(error) else least  # of fewer than four rows no error is known
    margin = _ERRORS_ALLOWED * error if converged else 2 * _ERRORS_ALLOWED * unsure
    limit = f"{bath:g} ± {limits.temperature_kelvin:g} K, and {margin:.1f} K on top for the error"
    says = f"temperature {write_error(mean, error, 1 if error < 0.95 else 0)} K"
    if abs(mean - bath) > limits.temperature_kelvin + margin:
        says += f" ({'hotter' if mean > bath else 'colder'} than {bath:g} K)"
        return [Check("temperature", says, limit, Outcome.FAILED)]
    if not converged:
        return [Check("temperature", f"{says} (run too short to be sure)", limit, Outcome.UNDECIDED)]
    return [Check("temperature", says, limit, Outcome.PASSED), *_check_elements(result, limits)]


def _check_elements(result: Result, limits: Limits) -> list[Check]:
    """Return a call for caution about the hottest element, if one is hotter than chance allows."""
    mean, most = result.number("mean"), limits.element_kelvin
    excess = {}
    for symbol in (name.removeprefix("temperature_") for name in result.values if name.startswith("temperature_")):
        error = result.number(f"{symbol}_mean_error")
        excess[symbol] = result.number(f"{symbol}_mean") - mean - most - _ERRORS_OF_ELEMENTS * error
    hot = [symbol for symbol in excess if excess[symbol] > 0.0]  # an unknown error, NaN, is not above
    if not hot:
        return []
    worst = max(hot, key=lambda symbol: excess[symbol])
    kelvin, error = result.number(f"{worst}_mean"), result.number(f"{worst}_mean_error")
    limit = f"at most {most:g} K above all atoms, and four standard errors on top"
    says = f"{worst} hotter than the rest: {write_error(kelvin, error, 0)} K"
    return [Check("elements", says, limit, Outcome.CAUTION)]


def _check_equipartition(result: Result, limits: Limits) -> list[Check]:
    chances = result.values["chance"]
    worst = int(chances.argmin())
    least, name = limits.equipartition_chance, result.values["element"].tolist()[worst]
    says = "elements equally hot"
    if chances[worst] < least:
        says = f"{name} at {result.values['temperature'][worst]:.0f} K, {result.number('kelvin'):.0f} K expected"
    outcome = _outcome(bool(chances[worst] >= least))
    return [Check("equipartition", says, f"chance of each element's temperature at least {least:g}", outcome)]


def _check_bonds(result: Result, limits: Limits) -> list[Check]:
    broken = int(result.number("broken_ever"))
    names = result.values["broken_names"].tolist()
    says = f"{broken} bond{'s' if broken > 1 else ''} broken (first {names[0]})" if broken else "no broken bonds"
    checks = [Check("broken bonds", says, f"at most {limits.broken_bonds}", _outcome(broken <= limits.broken_bonds))]
    if collapsed := int(result.numbers.get("collapsed_ever", 0.0)):
        says = f"{collapsed} bond{'s' if collapsed > 1 else ''} far too short"
        says += f" (first {result.values['collapsed_names'].tolist()[0]})"
        checks.append(Check("collapsed bonds", says, "none", Outcome.FAILED))
    stretched = result.number("stretched_fraction")
    if stretched > limits.stretched_fraction:
        says = f"{100.0 * stretched:.2g} % of bonds stretched"
        checks.append(Check("stretched bonds", says, f"at most {limits.stretched_fraction:.2%}", Outcome.FAILED))
    return checks


def _check_angles(result: Result, limits: Limits) -> list[Check]:
    """Return an angle that stays bent, such as a water folded up: a minimum of the model that nature has not."""
    bent = result.values["bent"]
    late = bent[-max(1, len(bent) // 4) :]
    degrees = result.number("bent_degrees")
    limit = f"bent by {degrees:g}° in at most {limits.bent_share:.0%} of the last quarter"
    if (late > 0).mean() > limits.bent_share:
        says = f"an angle stays bent by more than {degrees:g}° (most: {result.values['bent_names'][0][0]})"
        return [Check("angles", says, limit, Outcome.CAUTION)]
    return [Check("angles", "no angle bent for good", limit, Outcome.PASSED)]


def _check_rmsd(result: Result, limits: Limits) -> list[Check]:
    group = "backbone" if "backbone" in result.values else "heavy_atoms"
    largest, last = result.number(f"{group}_largest"), result.number(f"{group}_last")
    words = {"backbone": "backbone", "heavy_atoms": "heavy-atom"}[group]
    says = f"{words} RMSD {last:.2f} Å (largest {largest:.2f})"
    limit = f"largest at most {limits.rmsd_angstrom:g} Å"
    return [Check("RMSD", says, limit, _outcome(largest <= limits.rmsd_angstrom))]


def _check_drift(result: Result, limits: Limits) -> list[Check]:
    drift, error = result.number("potential_drift"), result.number("potential_drift_error")
    most, margin = limits.drift_mev_per_atom_ps, _ERRORS_ALLOWED * error
    limit = f"at most {most:g} meV/atom/ps, and two standard errors on top"
    if not math.isfinite(error):
        return [Check("drift", "too few rows for a drift", limit, Outcome.UNDECIDED)]
    measured = f"{write_error(drift, error)} meV/atom/ps"
    if abs(drift) > most + margin:
        return [Check("drift", f"potential energy drifting by {measured}", limit, Outcome.CAUTION)]
    if abs(drift) + margin > most:
        return [Check("drift", f"drift {measured} (run too short to be sure)", limit, Outcome.UNDECIDED)]
    return [Check("drift", f"no drift ({measured})", limit, Outcome.PASSED)]


def _check_confidence(result: Result, limits: Limits) -> list[Check]:
    share, above = result.number("doubtful_share"), result.number("doubtful_above")
    limit = f"expected force error above {above:g} eV/Å for at most {limits.doubtful_share:.1%} of the atoms"
    if share > limits.doubtful_share:
        says = f"unknown territory for {100.0 * share:.2g} % of the atoms (first {result.values['least_known'][0][0]})"
        return [Check("confidence", says, limit, Outcome.CAUTION)]
    return [Check("confidence", "no unknown territory", limit, Outcome.PASSED)]


_CHECKS: Mapping[str, Callable[[Result, Limits], list[Check]]] = {
    "temperature": _check_temperature,
    "equipartition": _check_equipartition,
    "bonds": _check_bonds,
    "angles": _check_angles,
    "rmsd": _check_rmsd,
    "energy": _check_drift,
    "confidence": _check_confidence,
}


def _outcome(passed: bool) -> Outcome:
    return Outcome.PASSED if passed else Outcome.FAILED
