"""Analyse an ensemble: each complete replica by itself, then every number over the replicas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbmm.analysis import analyze_recording, check_files, read_run_folder, write_analysis
from orbmm.analysis.analyze import SUMMARY_FILE, list_files
from orbmm.ensemble.layout import EnsembleFolder, Member, ReplicaFolder
from orbmm.ensemble.page import format_ensemble_page
from orbmm.ensemble.spread import Measured, Numbers, Spread, Value, compute_spreads, format_table, list_entries
from orbmm.ensemble.state import COMPLETE, ReplicaState, count_states, read_states
from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_json, write_file
from orbmm.outputs import OutputFolder
from orbmm.report import write_figures
from orbmm.report.page import check_page, write_page

TABLE_FILE, NUMBERS_FILE, PAGE_FILE = "ensemble.csv", "ensemble.json", "report.html"
_LARGEST_SUMMARY = 100_000_000  # bytes
_ERROR = "_error"


@dataclass(frozen=True)
class EnsembleAnalysis:
    """The numbers of an ensemble. left_out: states of the replicas that are not complete, and so not analysed"""

    replicas: tuple[Measured, ...]
    left_out: tuple[ReplicaState, ...]
    spreads: tuple[Spread, ...]


@dataclass(frozen=True)
class Choices:
    """The options of an analysis, as for one run: start that averages leave out [ps], crystal structure, site."""

    discard_ps: float | None = None
    crystal: Path | None = None
    site: str | None = None


def analyze_ensemble(
    folder: Path, choices: Choices | None = None, on_replica: Callable[[str], None] | None = None
) -> EnsembleAnalysis:
    """Analyse the complete replicas of an ensemble, and write one table, its JSON, and one page with links.

    A replica that was analysed since its last step, and without options, is not analysed again.
    on_replica: called with the name of each replica before it is analysed
    Raises AnalysisError if no replica is complete, or if files are in the way.
    """
    ensemble, choices = EnsembleFolder(folder.resolve()), choices or Choices()
    states = read_states(ensemble)
    complete = [one for one in states if one.state == COMPLETE]
    if not complete:
        raise AnalysisError(f"{folder} has no complete replica ({count_states(states)}); run `orbmm ensemble` first")
    output = OutputFolder(ensemble.path / "analysis")
    check_files(output.path, (TABLE_FILE, NUMBERS_FILE))
    check_page(ensemble.path / PAGE_FILE)
    measured = []
    for one in complete:
        if on_replica is not None:
            on_replica(one.member.name)
        measured.append(_measure(ensemble.replica(one.member.name), one.member, choices))
    left_out = tuple(one for one in states if one.state != COMPLETE)
    analysis = EnsembleAnalysis(tuple(measured), left_out, tuple(compute_spreads(measured)))
    _write(analysis, ensemble, output)
    return analysis


def _write(analysis: EnsembleAnalysis, ensemble: EnsembleFolder, output: OutputFolder) -> None:
    entries = {
        "replicas": [{"name": one.name, "point": one.point, "stable": one.stable} for one in analysis.replicas],
        "left_out": [
            {"name": one.member.name, "state": one.state, "reason": one.sentence} for one in analysis.left_out
        ],
        "quantities": list_entries(analysis.spreads),
    }
    text = json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False)
    links = {one.name: f"replicas/{one.name}/run/{PAGE_FILE}" for one in analysis.replicas}
    page = format_ensemble_page(ensemble.path.name, analysis.replicas, analysis.spreads, analysis.left_out, links)
    try:
        output.path.mkdir(exist_ok=True)
        output.write({TABLE_FILE: format_table(analysis.spreads), NUMBERS_FILE: (text + "\n").encode()})
        write_file(ensemble.path / PAGE_FILE, page.encode())
    except OSError as error:
        raise AnalysisError(f"{output.path}: the analysis cannot be written there ({error})") from error


def _measure(folder: ReplicaFolder, member: Member, choices: Choices) -> Measured:
    """Return the numbers of one replica, from its analysis if it has a current one."""
    summary = _find_summary(folder) if choices == Choices() else None
    if summary is None:
        _analyze_replica(folder, choices)
        summary = _find_summary(folder)
    if summary is None:
        raise AnalysisError(f"{folder.run.path / 'analysis' / SUMMARY_FILE} cannot be read; remove it and try again")
    return Measured(member.name, member.point_name, bool(summary["stable"]), read_numbers(summary))


def _analyze_replica(folder: ReplicaFolder, choices: Choices) -> None:
    """Analyse one run as `orbmm analyze` and `orbmm report` do."""
    recording, output = read_run_folder(folder.run.path), folder.run.path / "analysis"
    check_files(output, list_files(recording, choices.crystal, choices.site))
    check_page(folder.run.path / PAGE_FILE)
    analysis = analyze_recording(recording, choices.discard_ps, crystal=choices.crystal, site=choices.site)
    write_page(recording, analysis, folder.run.path / PAGE_FILE, folder.run.settings.read_text(encoding="utf-8"))
    write_figures(analysis.results, output, ("png", "svg"))
    write_analysis(analysis, output)


def _find_summary(folder: ReplicaFolder) -> dict[str, Any] | None:
    """Return results.json of a replica; None if it is absent, damaged, or older than the run or its settings."""
    path = folder.run.path / "analysis" / SUMMARY_FILE
    try:
        written = path.stat().st_mtime_ns
        if any(one.stat().st_mtime_ns > written for one in (folder.run.table, folder.run.settings)):
            return None
        summary = read_json(path, _LARGEST_SUMMARY)
        read_numbers(summary)
    except (OSError, UnsafeFile, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(summary)


def read_numbers(summary: dict[str, Any]) -> Numbers:
    """Return the numbers in a results.json. One that is not known there is left out; errors go with their values."""
    found = {}
    for observable, result in summary["results"].items():
        numbers = result["numbers"]
        for quantity, entry in numbers.items():
            if quantity.endswith(_ERROR) or entry["value"] is None:
                continue
            within = numbers.get(f"{quantity}{_ERROR}", {}).get("value")
            value = Value(float(entry["value"]), str(entry["unit"]), math.nan if within is None else float(within))
            found[observable, quantity] = value
    return found
