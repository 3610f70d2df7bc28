"""Analyse an ensemble: each complete replica by itself, then every number over the replicas."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orbmm import __version__
from orbmm.analysis import analyze_recording, check_files, read_run_folder, write_analysis
from orbmm.analysis.analyze import SUMMARY_FILE, list_files
from orbmm.ensemble.convergence import Step, compute_convergence, format_convergence, read_parts
from orbmm.ensemble.layout import EnsembleFolder, Member, ReplicaFolder
from orbmm.ensemble.page import format_ensemble_page
from orbmm.ensemble.spread import Measured, Numbers, Spread, Value, compute_spreads, format_table, list_entries
from orbmm.ensemble.state import COMPLETE, ReplicaState, count_states, read_states
from orbmm.errors import AnalysisError, UnsafeFile
from orbmm.files import read_json, write_file
from orbmm.outputs import OutputFolder
from orbmm.report import write_figures
from orbmm.report.page import check_page, write_page

TABLE_FILE, NUMBERS_FILE, MADE_FILE, PAGE_FILE = "ensemble.csv", "ensemble.json", "replicas.json", "report.html"
STEPS_FILE = "convergence.csv"
_LARGEST_SUMMARY = 100_000_000  # bytes
_ERROR = "_error"


@dataclass(frozen=True)
class EnsembleAnalysis:
    """The numbers of an ensemble.

    left_out: states of the replicas that are not complete, and so not analysed
    convergence: of the time averages, with number and length of the replicas
    """

    replicas: tuple[Measured, ...]
    left_out: tuple[ReplicaState, ...]
    spreads: tuple[Spread, ...]
    convergence: tuple[Step, ...] = ()


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

    A replica that was analysed here since its last step, with the same options, is not analysed again.
    on_replica: called with the name of each replica before it is analysed
    Raises AnalysisError if no replica is complete, if files are in the way, or if replicas of one point differ in more
    than their seeds.
    """
    ensemble, choices = EnsembleFolder(folder.resolve()), choices or Choices()
    states = read_states(ensemble)
    complete = [one for one in states if one.state == COMPLETE]
    if not complete:
        raise AnalysisError(f"{folder} has no complete replica ({count_states(states)}); run `orbmm ensemble` first")
    output = OutputFolder(ensemble.path / "analysis")
    check_files(output.path, (TABLE_FILE, STEPS_FILE, NUMBERS_FILE, MADE_FILE))
    check_page(ensemble.path / PAGE_FILE)
    kept, summaries = _read_made(ensemble), {}
    for one in complete:
        name, replica = one.member.name, ensemble.replica(one.member.name)
        if on_replica is not None:
            on_replica(name)
        summaries[name] = _summarize(replica, choices, kept.get(name))
        kept[name] = _describe_made(replica, choices)
    _check_alike([one.member for one in complete], summaries)
    measured = [_measure(one.member, summaries[one.member.name], ensemble) for one in complete]
    left_out = tuple(one for one in states if one.state != COMPLETE)
    points = list(dict.fromkeys(one.member.point_name for one in states))
    spreads, steps = tuple(compute_spreads(measured, points)), tuple(compute_convergence(measured))
    analysis = EnsembleAnalysis(tuple(measured), left_out, spreads, steps)
    _write(analysis, ensemble, output, kept)
    return analysis


def _write(
    analysis: EnsembleAnalysis, ensemble: EnsembleFolder, output: OutputFolder, made: dict[str, dict[str, Any]]
) -> None:
    entries = {
        "replicas": [{"name": one.name, "point": one.point, "stable": one.stable} for one in analysis.replicas],
        "left_out": [
            {"name": one.member.name, "state": one.state, "reason": one.sentence} for one in analysis.left_out
        ],
        "quantities": list_entries(analysis.spreads),
    }
    text = json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False)
    links = {one.name: f"replicas/{one.name}/run/{PAGE_FILE}" for one in analysis.replicas}
    page = format_ensemble_page(
        ensemble.path.name, analysis.replicas, analysis.spreads, analysis.left_out, links, analysis.convergence
    )
    try:
        output.path.mkdir(exist_ok=True)
        texts = {NUMBERS_FILE: text, MADE_FILE: json.dumps(made, indent=1)}
        files = {name: (content + "\n").encode() for name, content in texts.items()}
        tables = {TABLE_FILE: format_table(analysis.spreads), STEPS_FILE: format_convergence(analysis.convergence)}
        output.write({**tables, **files})
        write_file(ensemble.path / PAGE_FILE, page.encode())
    except OSError as error:
        raise AnalysisError(f"{output.path}: the analysis cannot be written there ({error})") from error


def _summarize(folder: ReplicaFolder, choices: Choices, made: dict[str, Any] | None) -> dict[str, Any]:
    """Return results.json of one replica; it is analysed again unless its analysis was made here in the same way."""
    summary = _find_summary(folder)
    if summary is None or made is None or made != _describe_made(folder, choices):
        _analyze_replica(folder, choices)
        summary = _find_summary(folder)
    if summary is None:
        raise AnalysisError(f"{folder.run.path / 'analysis' / SUMMARY_FILE} cannot be read; remove it and try again")
    return summary


def _describe_made(folder: ReplicaFolder, choices: Choices) -> dict[str, Any]:
    """Return how an analysis was made, and the sha256 of its results.json."""
    content = (folder.run.path / "analysis" / SUMMARY_FILE).read_bytes()
    options = {name: None if value is None else str(value) for name, value in asdict(choices).items()}
    return {"options": options, "orbmm": __version__, "sha256": hashlib.sha256(content).hexdigest()}


def _read_made(ensemble: EnsembleFolder) -> dict[str, dict[str, Any]]:
    """Return how the analysis of each replica was made; nothing where that is not known."""
    try:
        return dict(read_json(ensemble.path / "analysis" / MADE_FILE, _LARGEST_SUMMARY))
    except (OSError, UnsafeFile, ValueError, TypeError):
        return {}


def _check_alike(members: Sequence[Member], summaries: Mapping[str, dict[str, Any]]) -> None:
    """Check that replicas of one point have the same structure, weights and length. Raises AnalysisError."""
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for member in members:
        run = summaries[member.name]["run"]
        facts = {
            "structure or state": run.get("inputs"),
            "weights": run.get("weights_sha256"),
            "length_ps": run.get("settings", {}).get("run", {}).get("length_ps"),
        }
        name, known = first.setdefault(member.point_name, (member.name, facts))
        other = [what for what, value in facts.items() if value != known[what]]
        if other:
            raise AnalysisError(
                f"{member.name} has another {other[0]} than {name}, so a mean over both says nothing: analyse the runs "
                "one by one, or make all of them alike in a new ensemble"
            )


def _measure(member: Member, summary: dict[str, Any], ensemble: EnsembleFolder) -> Measured:
    """Return the numbers of one replica."""
    parts = read_parts(ensemble.replica(member.name).run.path / "analysis", summary)
    return Measured(member.name, member.point_name, bool(summary["stable"]), read_numbers(summary), parts)


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
