"""The whole analysis of a run: every observable, the verdict, and the files they are written to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mdtraj as md

from orbmm.analysis.b_factors import choose_suffix, write_b_factors
from orbmm.analysis.blocks import find_equilibration
from orbmm.analysis.energy_table import EnergyTable
from orbmm.analysis.plan import FROM_A_RUN, plan_measures
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.run_folder import Recording
from orbmm.analysis.verdict import Limits, Verdict, judge
from orbmm.errors import AnalysisError
from orbmm.settings import AnalysisSettings

SUMMARY_FILE = "results.json"
B_FACTORS_PER_EV_ANGSTROM = 100.0  # so that the scale of the head, 0.3 eV/Å, fits a PDB file's column


@dataclass(frozen=True)
class Analysis:
    """What was measured.

    results: by name. missing: why an observable was left out, by name. discard_ps: start that averages left out.
    verdict, limits: what the numbers were held against. record: what run.json says of the run. start: of all its atoms.
    """

    results: dict[str, Result]
    missing: dict[str, str]
    discard_ps: float
    verdict: Verdict
    limits: Limits
    record: dict[str, Any]
    start: md.Trajectory


def analyze_recording(
    recording: Recording,
    discard_ps: float | None = None,
    limits: Limits | None = None,
    crystal: Path | None = None,
    site: str | None = None,
) -> Analysis:
    """Measure everything that the recording has, and judge it.

    discard_ps: start that averages leave out; None takes the settings' word, or else finds where the potential
    energy has settled. What is shown along time always covers the whole run.
    crystal: PDB file to compare shape and fluctuation with. site: the binding site, as a selection of mdtraj.
    Raises AnalysisError for files that do not fit together.
    """
    settings = recording.settings.analysis if recording.settings else AnalysisSettings()
    cut = _choose_cut(settings.discard_ps if discard_ps is None else discard_ps, recording.energies)
    measures = plan_measures(recording, cut, crystal, site)
    results, missing = _measure(measures)
    missing |= {
        name: f"not in a trajectory; needs {source}" for name, source in FROM_A_RUN.items() if name not in measures
    }
    limits = limits or Limits()
    verdict = judge(results, limits, recording.stopped)
    return Analysis(results, missing, cut, verdict, limits, recording.record, recording.all_atoms)


def write_analysis(analysis: Analysis, folder: Path) -> None:
    """Write results.json, a table of each observable, and the confidence as B-factors of a structure.

    The B-factors are expected force errors in 0.01 eV/Å: 0 to 30. Raises AnalysisError when the folder cannot be
    written.
    """
    summary = {
        "verdict": analysis.verdict.line,
        "stable": analysis.verdict.stable,
        "checks": [asdict(check) for check in analysis.verdict.checks],
        "limits": asdict(analysis.limits),
        "discard_ps": analysis.discard_ps,
        "results": {name: result.summarise() for name, result in analysis.results.items()},
        "missing": analysis.missing,
        "run": analysis.record,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for result in analysis.results.values():
            result.write(folder)
        if "confidence" in analysis.results:
            path = folder / f"confidence{choose_suffix(analysis.start.n_atoms)}"
            errors = analysis.results["confidence"].values["atom_error"]
            write_b_factors(analysis.start, B_FACTORS_PER_EV_ANGSTROM * errors, path)
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise AnalysisError(f"{folder}: the analysis cannot be written there ({error}); give --output") from error


def _choose_cut(discard_ps: float | None, energies: EnergyTable | None) -> float:
    if discard_ps is not None:
        return discard_ps
    if energies is None:
        return 0.0
    first = find_equilibration(energies.potential)
    return float(energies.time_ps[first]) if first else 0.0


def _measure(measures: dict[str, Callable[[], Result]]) -> tuple[dict[str, Result], dict[str, str]]:
    """Each observable, or the reason why the system has nothing to measure."""
    results, missing = {}, {}
    for name, measure in measures.items():
        try:
            results[name] = measure()
        except NothingToMeasure as reason:
            missing[name] = str(reason)
    return results, missing
