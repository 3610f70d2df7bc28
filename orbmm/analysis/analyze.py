"""The whole analysis of a run: every observable, the verdict, and the files they are written to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj as md

from orbmm.analysis.observables import FROM_A_RUN, plan_measures
from orbmm.analysis.pieces import Workers
from orbmm.analysis.reading.b_factors import choose_suffix, write_b_factors
from orbmm.analysis.reading.run_folder import Recording
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.statistics import find_equilibration
from orbmm.analysis.verdict import Limits, Verdict, judge
from orbmm.errors import AnalysisError
from orbmm.outputs import OutputFolder
from orbmm.run_files.energies import EnergyTable
from orbmm.settings import AnalysisSettings

SUMMARY_FILE = "results.json"
B_FACTORS_PER_EV_ANGSTROM = 100.0  # so that the scale of the head, 0.3 eV/Å, fits a PDB file's column


@dataclass(frozen=True)
class Analysis:
    """The outcome of an analysis: results, verdict and limits.

    results: by name. missing: why an observable was left out, by name. discard_ps: start that averages left out.
    verdict, limits: what the numbers were held against. record: what run.json says of the run. start: of all its atoms.
    notes: what was changed in the topology or is odd about the frames, to be said before any number.
    """

    results: dict[str, Result]
    missing: dict[str, str]
    discard_ps: float
    verdict: Verdict
    limits: Limits
    record: dict[str, Any]
    start: md.Trajectory
    notes: tuple[str, ...] = ()


def analyze_recording(
    recording: Recording,
    discard_ps: float | None = None,
    limits: Limits | None = None,
    crystal: Path | None = None,
    site: str | None = None,
    workers: Workers | None = None,
) -> Analysis:
    """Measure everything that the recording has, and judge it.

    discard_ps: start that averages leave out; None takes the settings' word, or else finds where the potential
    energy is equilibrated. What is shown along time always covers the whole run.
    crystal: PDB file to compare shape with, and fluctuation if it has B-factors. site: the binding site, as a selection
    of mdtraj.
    workers: of `open_workers`, that share the frames of costly observables; the results are the same to the last bit.
    Raises AnalysisError for files that do not fit together.
    """
    if discard_ps and not recording.frames.timed:
        raise AnalysisError(f"{recording.frames.path}: holds no times to discard {discard_ps:g} ps by; give --frame-ps")
    settings = recording.settings.analysis if recording.settings else AnalysisSettings()
    cut = _choose_cut(settings.discard_ps if discard_ps is None else discard_ps, recording.energies)
    shared = replace(recording, frames=replace(recording.frames, workers=workers))
    measures = plan_measures(shared, cut, crystal, site)
    results, missing = _measure(measures)
    if not recording.frames.timed:
        results = {name: _number_frames(result) for name, result in results.items()}
    missing |= {
        name: f"not in a trajectory; needs {source}" for name, source in FROM_A_RUN.items() if name not in measures
    }
    limits = limits or Limits()
    verdict = judge(results, limits, recording.stopped)
    notes = (*recording.notes, *_note_crystal(crystal, results))
    return Analysis(results, missing, cut, verdict, limits, recording.record, recording.all_atoms, notes)


def _note_crystal(crystal: Path | None, results: Mapping[str, Result]) -> Sequence[str]:
    """Return a note for a structure without B-factors, such as one by NMR: then the RMSF has no crystal beside it."""
    if crystal is None or "rmsf" not in results or "crystal" in results["rmsf"].values:
        return ()
    return (f"{crystal} has no B-factors of C-alpha atoms: only shapes are compared with it",)


def list_files(recording: Recording, crystal: Path | None = None, site: str | None = None) -> list[str]:
    """Return the names of the files that the analysis of a recording may write, figures included.

    Raises what `plan_measures` does.
    """
    names = plan_measures(recording, 0.0, crystal, site)
    files = [f"{name}{suffix}" for name in names for suffix in (".csv", ".npz", ".png", ".svg")]
    structure = [f"confidence{choose_suffix(recording.all_atoms.n_atoms)}"] if "confidence" in names else []
    return [SUMMARY_FILE, *files, *structure]


def check_files(folder: Path, names: Sequence[str] = (SUMMARY_FILE,), inputs: tuple[Path, ...] = ()) -> None:
    """Check before an analysis that its files can be written to the folder, which need not be there.

    Raises OutputError where a file is in the way that orbmm did not write, or that is among the inputs; AnalysisError
    when the folder cannot be written.
    """
    try:
        OutputFolder(folder, inputs).check(names)
    except OSError as error:
        raise AnalysisError(f"{folder}: the analysis cannot be written there ({error}); give --output") from error


def write_analysis(analysis: Analysis, folder: Path, inputs: tuple[Path, ...] = ()) -> None:
    """Write a table of each observable, the confidence as B-factors of a structure, and, last, results.json.

    The B-factors are expected force errors in 0.01 eV/Å: 0 to 30. inputs: files that were read for the analysis.
    Raises OutputError where a file is in the way that orbmm did not write, AnalysisError when the folder cannot be
    written.
    """
    summary = {
        "verdict": analysis.verdict.line,
        "stable": analysis.verdict.stable,
        "checks": [asdict(check) for check in analysis.verdict.checks],
        "limits": asdict(analysis.limits),
        "discard_ps": analysis.discard_ps,
        "notes": list(analysis.notes),
        "results": {name: result.summarise() for name, result in analysis.results.items()},
        "missing": analysis.missing,
        "run": analysis.record,
    }
    contents = {name: content for result in analysis.results.values() for name, content in result.format().items()}
    if "confidence" in analysis.results:
        contents |= _format_confidence(analysis)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    contents[SUMMARY_FILE] = (text + "\n").encode(errors="backslashreplace")  # a lone surrogate, as JSON escapes it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OutputFolder(folder, inputs).write(contents)
    except OSError as error:
        raise AnalysisError(f"{folder}: the analysis cannot be written there ({error}); give --output") from error


def _format_confidence(analysis: Analysis) -> dict[str, bytes]:
    """Return the structure with the expected errors as B-factors, by its file name."""
    name = f"confidence{choose_suffix(analysis.start.n_atoms)}"
    errors = analysis.results["confidence"].values["atom_error"]
    with tempfile.TemporaryDirectory(prefix="orbmm-") as folder:  # mdtraj writes to named files alone
        write_b_factors(analysis.start, B_FACTORS_PER_EV_ANGSTROM * errors, Path(folder) / name)
        return {name: (Path(folder) / name).read_bytes()}


def _number_frames(result: Result) -> Result:
    """Return the result with the numbers of frames where times would be."""
    return replace(result, units={**result.units, "time": "frame"}) if "time" in result.units else result


def _choose_cut(discard_ps: float | None, energies: EnergyTable | None) -> float:
    if discard_ps is not None:
        return discard_ps
    if energies is None:
        return 0.0
    first = find_equilibration(energies.potential)
    return float(energies.time_ps[first]) if first else 0.0


def _measure(measures: dict[str, Callable[[], Result]]) -> tuple[dict[str, Result], dict[str, str]]:
    """Return each observable, or the reason why the system has nothing to measure."""
    results, missing = {}, {}
    for name, measure in measures.items():
        try:
            results[name] = measure()
        except NothingToMeasure as reason:
            missing[name] = str(reason)
    return results, missing
