"""The longest time step: what each network allows for a mass of the hydrogens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orbmm.errors import SettingsError
from orbmm.settings import ModelSettings, RunSettings, Settings, SystemSettings
from orbmm.settings.model import DEFAULT_MODEL
from orbmm.settings.time_step import MEASURED_FS, MEASURED_MODEL, check_timestep

PUBLISHED = "orb-v3-conservative-inf-omat"


def make_settings(
    timestep_fs: float, hydrogen_mass_amu: float | None, model: ModelSettings, diagnosis: Path | None = None
) -> Settings:
    run = RunSettings(
        diagnosis=diagnosis,
        timestep_fs=timestep_fs,
        hydrogen_mass_amu=hydrogen_mass_amu,
        length_ps=0.06,
        frame_every_fs=60.0,
        table_every_fs=60.0,
        checkpoint_every_ps=0.06,
    )
    return Settings(SystemSettings("water"), model, run)


@pytest.mark.parametrize(("mass", "longest"), MEASURED_FS)
@pytest.mark.parametrize("name", [MEASURED_MODEL, f"orbmm-{MEASURED_MODEL}"])
def test_the_measured_network_takes_the_measured_steps_and_no_longer_ones(
    name: str, mass: float, longest: float
) -> None:
    model = ModelSettings(name)
    assert make_settings(longest, mass, model).production.timestep_fs == longest
    with pytest.raises(SettingsError, match=f"hydrogens of {mass:g} g/mol need steps of at most {longest:g} fs; use"):
        make_settings(longest + 0.5, mass, model)
    if mass > 1.0:
        with pytest.raises(SettingsError, match=f"hydrogen_mass_amu of at least {mass:g}"):
            make_settings(longest, mass - 0.1, model)


@pytest.mark.parametrize(
    "model",
    [
        ModelSettings(PUBLISHED),
        ModelSettings("orb-mini-direct-inf-xtb"),
        ModelSettings(MEASURED_MODEL, weights=Path("own.safetensors")),
    ],
    ids=["published", "direct", "own weights"],
)
def test_a_network_that_was_not_measured_keeps_the_rule_of_the_period(model: ModelSettings) -> None:
    assert make_settings(1.0, 4.0, model).production.timestep_fs == 1.0
    assert make_settings(0.5, None, model).production.timestep_fs == 0.5
    with pytest.raises(SettingsError) as caught:
        make_settings(2.0, 4.0, model)
    sentence = str(caught.value)
    assert "hydrogens of 4 g/mol need steps of at most 1 fs; use that" in sentence
    assert f"Longer steps were measured for {MEASURED_MODEL} only" in sentence and "of at least" not in sentence
    with pytest.raises(SettingsError, match="of at most 0.5 fs; use that, or hydrogen_mass_amu of at least 4"):
        make_settings(1.0, None, model)


def test_a_diagnosis_allows_what_it_measures_and_no_more() -> None:
    model, diagnosis = ModelSettings(PUBLISHED), Path("diagnosis.json")
    assert make_settings(2.0, 4.0, model, diagnosis).production.timestep_fs == 2.0
    for step, mass in ((2.5, 4.0), (2.0, 3.9), (2.0, None)):
        with pytest.raises(SettingsError, match="need steps of at most"):
            make_settings(step, mass, model, diagnosis)
    pair = ModelSettings(PUBLISHED, fast="orb-v3-direct-inf-omat")
    with pytest.raises(SettingsError, match="need steps of at most 1 fs"):
        make_settings(2.0, 4.0, pair, diagnosis)


LARGEST_DRIFT = 0.1  # meV/atom/ps: 0.4 K/ps, which a bath at 1/ps turns into 0.2 K
LARGEST_SPREAD = 0.25  # meV/atom


def conserves(point: dict) -> bool:
    """Whether a run of a picosecond or more kept its energy; the error of the drift is allowed twice on top."""
    if point["stopped"] or "drift_meV_atom_ps" not in point:
        return False
    excess = abs(point["drift_meV_atom_ps"]) - LARGEST_DRIFT - 2.0 * point["drift_error"]
    return point["length_ps"] >= 1.0 and excess <= 0.0 and point["spread_meV_atom"] <= LARGEST_SPREAD


def test_the_rule_is_what_was_measured(repository: Path) -> None:
    points = json.loads((repository / "docs" / "embedded" / "steps.json").read_text())["points"]

    def find(mass: float, step: float) -> list[bool]:
        chosen = [p for p in points if p["timestep_fs"] == step and abs(p["hydrogen_mass_amu"] - mass) < 0.1]
        assert len(chosen) == 2, "water and the peptide box"
        return [conserves(point) for point in chosen]

    for mass, step in MEASURED_FS:
        assert all(find(mass, step)), f"{step} fs at {mass} g/mol"
    for mass, step in ((1.0, 1.5), (2.0, 1.5), (2.0, 2.0), (4.0, 3.0)):
        assert not all(find(mass, step)), f"{step} fs at {mass} g/mol gains or loses energy"


def test_the_measured_network_is_the_default_one() -> None:
    assert DEFAULT_MODEL == MEASURED_MODEL


def test_heavier_hydrogens_never_need_shorter_steps() -> None:
    assert sorted(MEASURED_FS) == list(MEASURED_FS)
    longest = [step for _, step in MEASURED_FS]
    assert longest == sorted(longest)
    for mass, step in MEASURED_FS:
        check_timestep(step, mass, measured=True)
        assert step >= 0.5 * mass**0.5, "the measured rule is never stricter than the other"
