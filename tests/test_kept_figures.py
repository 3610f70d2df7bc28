"""README, the page of validation and the model card give the figures measured on the weights that ship."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from orbmm.checkpoints.catalog import find_record
from orbmm.run_files.diagnosis import read_diagnosis

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"

LIQUIDS = ("ethanol", "hydroxide", "hydronium")
LONG_STEPS = f"dynamics-{CONSERVATIVE}-2fs-4amu"


def read_kept(repository: Path, name: str) -> dict:
    return json.loads((repository / "docs" / "embedded" / f"{name}.json").read_text(encoding="utf-8"))


def read_row(text: str, start: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start}"))
    return line


@pytest.fixture
def card(repository: Path) -> str:
    return (repository / "docs" / "model-card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "drift",
        "steps",
        "multiple-steps",
        "multiple-steps-bath",
        LONG_STEPS,
        "vibrations",
        *(f"{kind}-{model}" for kind in ("errors", "dynamics", "diagnosis") for model in (CONSERVATIVE, DIRECT)),
    ],
)
def test_figures_were_measured_on_the_weights_that_ship(name: str, repository: Path) -> None:
    kept = read_kept(repository, name)
    assert kept["weights_sha256"] == find_record(kept["model"]).sha256


def test_energies_without_a_thermostat_are_those_of_the_weights_that_ship(repository: Path) -> None:
    runs = read_kept(repository, "energy-conservation")["runs"]
    assert {run["model"]: run["weights_sha256"] for run in runs} == {
        model: find_record(model).sha256 for model in (CONSERVATIVE, DIRECT)
    }
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    for run in runs:
        numbers = f"{run['length_ps']:.2f} | {run['drift_meV_atom_ps']:+.3g} | {run['temperature_last_K']:.0f}"
        assert f"| {run['model']} | {numbers} |" in page


@pytest.mark.parametrize("model", [CONSERVATIVE, DIRECT])
def test_the_page_tells_the_confidence_as_it_was_measured(model: str, repository: Path) -> None:
    text = (repository / "docs" / "training" / "confidence.json").read_text(encoding="utf-8")
    arms = json.loads(text)["models"][model]
    assert arms["before"]["weights_sha256"] == find_record(model).sha256
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    columns = slice(1, 3) if model == CONSERVATIVE else slice(3, 5)
    for row, take, form in (
        ("held-out boxes: expected", lambda arm: arm["held-out boxes"]["ratio"], "{:.2f}"),
        ("held-out boxes: rank", lambda arm: arm["held-out boxes"]["rank"], "{:.2f}"),
        ("other molecules: expected", lambda arm: arm["other molecules"]["ratio"], "{:.2f}"),
        ("other molecules: rank", lambda arm: arm["other molecules"]["rank"], "{:.2f}"),
        *((f"{name}: expected", lambda arm, name=name: arm[name]["ratio"], "{:.2f}") for name in LIQUIDS),
        *(
            (f"{name}: errors", lambda arm, name=name: arm["at_one_percent"]["flagged"][name], "{:.0%}")
            for name in ("other molecules", *LIQUIDS)
        ),
    ):
        told = [cell.strip() for cell in read_row(page, row).strip("|").split("|")][columns]
        assert told == [form.format(take(arms[arm])) for arm in ("before", "after")], row
    after = arms["after"]
    assert 0.9 < after["held-out boxes"]["ratio"] < 1.1 and after["held-out boxes"]["is_monotonic"]
    assert after["at_one_percent"]["flagged"]["other molecules"] > 0.8


@pytest.mark.parametrize(
    ("row", "group", "number"),
    [
        ("force on water atoms, held-out peptide box", "held-box-ala", "water_mae_meV_A"),
        ("force on peptide atoms, held-out peptide box", "held-box-ala", "peptide_mae_meV_A"),
        ("force, held-out water box", "held-water", "water_mae_meV_A"),
        ("force on water atoms, own dynamics", "held-own", "water_mae_meV_A"),
        ("force on peptide atoms, own dynamics", "held-own", "peptide_mae_meV_A"),
    ],
)
def test_the_card_tells_the_errors_as_they_were_measured(
    row: str, group: str, number: str, card: str, repository: Path
) -> None:
    measured = [read_kept(repository, f"errors-{model}")["groups"][group][number] for model in (CONSERVATIVE, DIRECT)]
    assert re.findall(r"(\d+) meV", read_row(card, row)) == [f"{error:.0f}" for error in measured]


def test_the_conservative_network_meets_its_gates(repository: Path) -> None:
    groups = read_kept(repository, f"errors-{CONSERVATIVE}")["groups"]
    assert max(group["water_mae_meV_A"] for group in groups.values()) <= 60
    assert max(group["peptide_mae_meV_A"] for group in groups.values() if "peptide_mae_meV_A" in group) <= 120
    assert max(group["energy_mae_meV_atom"] for group in groups.values()) <= 2
    assert abs(read_kept(repository, "drift")["drift_meV_atom_ps"]) <= 0.5


@pytest.mark.parametrize("model", [CONSERVATIVE, DIRECT])
def test_twenty_picoseconds_were_stable_at_300_kelvin(model: str, card: str, repository: Path) -> None:
    kept = read_kept(repository, f"dynamics-{model}")
    assert kept["length_ps"] == 20 and kept["stopped"] is None and kept["verdict"].startswith("stable")
    temperature = kept["results"]["temperature"]["numbers"]
    mean, error = (temperature[name]["value"] for name in ("mean", "mean_error"))
    assert abs(mean - 300) <= 10
    digits = 0 if model == CONSERVATIVE else 1
    assert f"{mean:.{digits}f} ± {error:.{digits}f} K" in read_row(card, "mean temperature")
    assert kept["results"]["bonds"]["numbers"]["broken_ever"]["value"] == 0


def test_twenty_picoseconds_of_long_steps_are_told_as_they_were_measured(repository: Path) -> None:
    kept, page = read_kept(repository, LONG_STEPS), (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    assert (kept["length_ps"], kept["timestep_fs"], kept["hydrogen_mass_amu"], kept["stopped"]) == (20, 2, 4, None)
    numbers = {name: result["numbers"] for name, result in kept["results"].items()}
    mean, error = (numbers["temperature"][name]["value"] for name in ("mean", "mean_error"))
    assert read_row(page, "mean temperature").endswith(f"{mean:.0f} ± {error:.0f} K |")
    length, spread = (numbers["bonds"][name]["value"] for name in ("xh_length", "xh_spread"))
    assert read_row(page, "bonds to hydrogen").endswith(f"{length:.3f}, {spread:.3f} Å |")
    speed, error = (numbers["diffusion"][name]["value"] for name in ("coefficient", "coefficient_error"))
    assert read_row(page, "diffusion of water").endswith(f"{speed:.1f} ± {error:.1f} · 10⁻⁹ m²/s |")
    assert numbers["bonds"]["broken_ever"]["value"] == 0


def test_the_page_of_validation_gives_the_same_figures(repository: Path) -> None:
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    boxes = read_kept(repository, f"errors-{CONSERVATIVE}")["groups"]["held-box-ala"]
    row = read_row(page, "embedded conservative network, frames of boxes")
    assert f"{boxes['water_mae_meV_A']:.0f} meV/Å on water, {boxes['peptide_mae_meV_A']:.0f} on the peptide" in row
    assert f"{boxes['energy_mae_meV_atom']:.1f} meV/atom" in row
    drift = read_kept(repository, "drift")
    row = read_row(page, f"embedded conservative network, {drift['length_ps']:.0f} ps without a thermostat")
    assert f"{drift['drift_meV_atom_ps']:.3f} meV/atom/ps" in row


def test_readme_gives_the_same_temperature(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    temperature = read_kept(repository, f"dynamics-{CONSERVATIVE}")["results"]["temperature"]["numbers"]
    mean, error = (temperature[name]["value"] for name in ("mean", "mean_error"))
    assert f"{mean:.0f} ± {error:.0f} K" in read_row(readme, "example network, 20 ps")


def test_the_table_of_the_diagnosis_is_that_of_its_files(repository: Path) -> None:
    """The script writes it; the figures are within a fifth of those of an independent first measurement."""
    script = runpy.run_path(str(repository / "scripts" / "embedded" / "measure_diagnosis.py"))
    folder = repository / "docs" / "embedded"
    found = [read_diagnosis(folder / f"diagnosis-{name}.json") for name in (CONSERVATIVE, DIRECT)]
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    assert script["format_table"](*found) in page
    first = {"rotational gradient": (0.046, 0.81), "Jacobian asymmetry lambda": (0.0, 0.019)}
    for name, numbers in first.items():
        for diagnosis, right in zip(found, numbers, strict=True):
            assert diagnosis.find(name).value == pytest.approx(right, rel=0.2, abs=1e-6)


def test_the_page_of_training_gives_the_costs_and_errors_of_labels(repository: Path) -> None:
    page = (repository / "docs" / "training.md").read_text(encoding="utf-8")
    kept = json.loads((repository / "docs" / "training" / "distillation.json").read_text(encoding="utf-8"))
    cost, arms = kept["label_cpu_seconds"], kept["shipped"]
    errors = {name: arms[name]["after"]["forces_mev_per_angstrom"] for name in cost}
    start = arms["teacher"]["before"]["forces_mev_per_angstrom"]
    assert f"| {start:.1f} |" in read_row(page, "none, the start")
    fresh = {name: kept["random"][name]["after"]["forces_mev_per_angstrom"] for name in cost}
    assert f"| {cost['GFN1-xTB']:.2g} | {errors['GFN1-xTB']:.1f} | {fresh['GFN1-xTB']:.1f} |" in read_row(
        page, "GFN1-xTB"
    )
    assert f"| {cost['teacher']:.3f} | {errors['teacher']:.1f} | {fresh['teacher']:.1f} |" in read_row(
        page, "the embedded conservative"
    )
    assert (
        f"a {kept['cost_ratio']:.0f}rd" in page
        and f"{arms['factor']:.2f} and {kept['random']['factor']:.2f} times" in page
    )
    assert kept["teacher_sha256"] == find_record(CONSERVATIVE).sha256
    assert kept["student_sha256"] == find_record(DIRECT).sha256
