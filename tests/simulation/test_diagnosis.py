"""A run takes long steps only if the diagnosis that it names measured its weights and atoms, and passed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.errors import AnalysisError, RunError
from orbmm.run_files.diagnosis import Diagnosis, Diagnostic, format_diagnosis
from orbmm.settings import Settings, override_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

ATOMS, WEIGHTS = 45, "0" * 64  # of the box and of the forces of these tests
DRIFT = Diagnostic("drift at 2 fs, hydrogens of 4 g/mol", 0.02, "meV/atom/ps", 0.12, "")
SPREAD = Diagnostic("spread at 2 fs, hydrogens of 4 g/mol", 0.1, "meV/atom", 0.25, "")
GOOD = Diagnosis(
    "a model", "conservative", WEIGHTS, "float64", "box", ATOMS, (DRIFT, SPREAD), elements={"H": 30, "O": 15}
)


def start(settings: Settings, forces: ForceSource, diagnosis: Path) -> Path:
    return start_run(override_settings(settings, {"run": {"diagnosis": diagnosis}}), forces=forces).folder


def test_a_diagnosis_that_passed_is_accepted_and_not_needed_again(
    settings: Settings, classical_forces: Callable[..., ForceSource], tmp_path: Path
) -> None:
    path = tmp_path / "diagnosis.json"
    path.write_bytes(format_diagnosis(GOOD))
    folder = start(settings, classical_forces(), path)
    path.unlink()
    assert resume_run(folder, forces=classical_forces()).finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights_sha256": "1" * 64}, "measured other weights, of a model"),
        ({"elements": {"H": 29, "O": 15}}, "measured H29 O15, but the run has H30 O15"),
        ({"elements": {"C": 15, "H": 30}}, "measured C15 H30, but the run has H30 O15"),
        ({"elements": {}}, "does not say which elements it measured"),
        ({"diagnostics": ()}, "measured no long step"),
        ({"diagnostics": (dataclasses.replace(DRIFT, value=-0.3), SPREAD)}, "-0.3 meV/atom/ps, but at most 0.12"),
        ({"diagnostics": (DRIFT, dataclasses.replace(SPREAD, value=float("nan")))}, "spread at 2 fs.* of nan meV/atom"),
    ],
)
def test_another_diagnosis_is_refused_before_the_first_step(
    settings: Settings,
    classical_forces: Callable[..., ForceSource],
    tmp_path: Path,
    change: dict[str, object],
    words: str,
) -> None:
    path = tmp_path / "diagnosis.json"
    path.write_bytes(format_diagnosis(dataclasses.replace(GOOD, **change)))  # type: ignore[arg-type]
    with pytest.raises(RunError, match=words):
        start(settings, classical_forces(), path)
    assert settings.run.output is not None and not settings.run.output.exists()


def test_a_missing_diagnosis_is_named(
    settings: Settings, classical_forces: Callable[..., ForceSource], tmp_path: Path
) -> None:
    with pytest.raises(AnalysisError, match="none.json: cannot be read as a diagnosis"):
        start(settings, classical_forces(), tmp_path / "none.json")


@pytest.mark.parametrize(
    "elements", ["H2O", ["H"], [["H", 30], ["O", 15]], 5, None, {"H": "30"}, {"H": 30.0}, {"H": []}]
)
def test_elements_that_are_no_numbers_of_atoms_are_refused_in_one_sentence(
    settings: Settings, classical_forces: Callable[..., ForceSource], tmp_path: Path, elements: object
) -> None:
    path = tmp_path / "diagnosis.json"
    path.write_text(json.dumps(json.loads(format_diagnosis(GOOD)) | {"elements": elements}))
    with pytest.raises(AnalysisError, match="cannot be read as a diagnosis") as caught:
        start(settings, classical_forces(), path)
    assert "\n" not in str(caught.value)
