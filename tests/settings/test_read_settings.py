"""Bad settings end in one sentence that names file, key and what was expected."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orbmm.errors import SettingsError
from orbmm.settings import (
    RestraintSettings,
    Settings,
    StageSettings,
    SystemSettings,
    override_settings,
    read_settings,
)

SYSTEM = '[system]\nname = "water"\n'

BAD = {
    "unknown table": (SYSTEM + "[modle]\n", "did you mean 'model'?"),
    "unknown key": (SYSTEM + "[run]\ntemperature = 300\n", "did you mean 'temperature_kelvin'?"),
    "wrong unit": (SYSTEM + "[run]\ntimestep_ps = 0.5\n", "did you mean 'timestep_fs'?"),
    "missing name": ("[model]\n", "[system] lacks 'name'"),
    "empty file": ("", "[system] lacks 'name'"),
    "empty name": ('[system]\nname = ""\n', "name is ''"),
    "name with a slash": ('[system]\nname = "a/b"\n', "name is 'a/b'"),
    "table as value": ('run = 3\n[system]\nname = "x"\n', "must be a table that starts with the line [run]"),
    "text for number": (SYSTEM + '[run]\nlength_ps = "1 ns"\n', "length_ps is '1 ns', but must be a number"),
    "truth for number": (SYSTEM + "[run]\nseed = true\n", "seed is True, but must be a whole number"),
    "truth for float": (SYSTEM + "[run]\nlength_ps = true\n", "length_ps is True, but must be a number"),
    "number for truth": (SYSTEM + "[run]\nminimize = 1\n", "minimize is 1, but must be true or false"),
    "float for whole": (SYSTEM + "[run]\nseed = 1.0\n", "seed is 1.0, but must be a whole number"),
    "number for path": (SYSTEM + "structure = 3\n", "structure is 3, but must be a file path"),
    "empty path": (SYSTEM + 'structure = ""\n', "structure is '', but must be a file path"),
    "negative timestep": (SYSTEM + "[run]\ntimestep_fs = -0.5\n", "timestep_fs is -0.5, but must be above 0"),
    "zero temperature": (SYSTEM + "[run]\ntemperature_kelvin = 0\n", "temperature_kelvin is 0.0, but must be above 0"),
    "huge timestep": (SYSTEM + "[run]\ntimestep_fs = 500\n", "timestep_fs is 500.0, but must be at most 10"),
    "not a number": (SYSTEM + "[run]\nlength_ps = nan\n", "length_ps is nan, but must be a finite number"),
    "infinite": (SYSTEM + "[run]\nlength_ps = inf\n", "length_ps is inf, but must be a finite number"),
    "zero seed": (SYSTEM + "[run]\nseed = 0\n", "seed is 0, but must be at least 1"),
    "negative friction": (SYSTEM + "[run]\nfriction_per_ps = -1\n", "friction_per_ps is -1.0"),
    "unknown precision": (SYSTEM + '[model]\nprecision = "float32_high"\n', "did you mean 'float32-high'?"),
    "unknown force": (SYSTEM + '[model]\nforce = "torchforce"\n', "did you mean 'TorchForce'?"),
    "unknown format": (SYSTEM + '[run]\ntrajectory = "pdb"\n', "trajectory is 'pdb'"),
    "unknown box": (SYSTEM + 'box = "cubic"\n', "did you mean 'cube'?"),
    "impossible ph": (SYSTEM + "ph = 15\n", "ph is 15.0, but must be at most 14"),
    "multiplicity -1": (SYSTEM + "[model]\nmultiplicity = -1\n", "multiplicity is -1, but must be at least 0"),
    "split step": (SYSTEM + "[run]\nframe_every_fs = 0.7\n", "must be a whole number of time steps of 0.5 fs"),
    "length below a step": (SYSTEM + "[run]\nlength_ps = 1e-9\n", "must be a whole number of time steps"),
    "no TOML": ("[system\n", "not a TOML file"),
    "key given twice": (SYSTEM + 'name = "b"\n', "not a TOML file"),
}


@pytest.mark.parametrize("text, expected", BAD.values(), ids=BAD)
def test_a_bad_file_ends_in_one_sentence(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path)


def test_a_file_with_only_a_name_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(SYSTEM)
    assert read_settings(path) == Settings(SystemSettings(name="water"))


def test_whole_numbers_are_taken_for_floats(tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(SYSTEM + "[run]\nlength_ps = 3\n")
    length = read_settings(path).run.length_ps
    assert length == 3.0
    assert type(length) is float


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "system.toml"
    path.parent.mkdir()
    path.write_text(SYSTEM + 'structure = "../box.pdb"\nsource = "raw.pdb"\n')
    system = read_settings(path).system
    assert system.structure == tmp_path / "box.pdb"
    assert system.source == str(tmp_path / "deep" / "raw.pdb")


@pytest.mark.parametrize("source", ["alanine-dipeptide", "pdb:2CBA"])
def test_a_source_that_is_no_file_stays_a_name(source: str, tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(SYSTEM + f'source = "{source}"\n')
    assert read_settings(path).system.source == source


def test_every_setting_is_explained_by_a_sentence_and_frozen() -> None:
    settings = Settings(SystemSettings(name="water"))
    tables = [getattr(settings, table.name) for table in dataclasses.fields(settings) if table.name != "stage"]
    stage = StageSettings(kind="produce", restraint=(RestraintSettings(kind="position", atoms="solute"),))
    for values in (*tables, stage, *stage.restraint):
        for field in dataclasses.fields(values):
            assert field.metadata["sentence"].strip().endswith("."), field.name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(values, field.name, None)


def test_steps_are_counted_without_rounding_errors() -> None:
    settings = override_settings(
        Settings(SystemSettings(name="water")), {"run": {"timestep_fs": 0.1, "length_ps": 0.3, "frame_every_fs": 0.3}}
    )
    assert settings.run.total_steps == 3000
    assert settings.run.count_steps("frame_every_fs") == 3


def test_overrides_are_checked_and_none_changes_nothing() -> None:
    settings = Settings(SystemSettings(name="water"))
    assert override_settings(settings, {"run": {"seed": None}, "model": {}}) == settings
    assert override_settings(settings, {"run": {"seed": 7}}).run.seed == 7
    with pytest.raises(SettingsError, match="seed is 0"):
        override_settings(settings, {"run": {"seed": 0}})
