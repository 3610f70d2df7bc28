"""What is written reads back exactly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orbmm.errors import OutputError
from orbmm.settings import (
    AnalysisSettings,
    GuardSettings,
    ModelSettings,
    PreparationSettings,
    RunSettings,
    Settings,
    SystemSettings,
    format_settings,
    read_settings,
    write_settings,
)


def _every_value_off_its_default(folder: Path) -> Settings:
    return Settings(
        SystemSettings(
            name='Tür "1"',
            structure=folder / "box.pdb",
            state=folder / "sub" / "state.xml",
            source=str(folder / "raw.cif"),
            padding_nm=1 / 3,
            ph=6.9,
            box="dodecahedron",
            salt_molar=0.15,
            neutralize=False,
            seed=2**31 - 1,
        ),
        ModelSettings(
            name="orb-v3-direct-omol",
            weights=Path("/elsewhere/weights.ckpt"),
            precision="float64",
            device="cuda:1",
            force="PythonForce",
            charge=-1,
            multiplicity=2,
        ),
        RunSettings(
            minimize=False,
            minimize_iterations=7,
            temperature_kelvin=0.1 + 0.2,
            friction_per_ps=50.0,
            timestep_fs=0.25,
            length_ps=2.0,
            frame_every_fs=1.0,
            table_every_fs=2.0,
            checkpoint_every_ps=1.0,
            trajectory="dcd",
            seed=5,
            platform="CPU",
            output=folder,
        ),
        GuardSettings(
            temperature_limit_kelvin=900.0,
            force_limit_kj_mol_nm=1e4,
            bond_limit_factor=1.3,
            allow_reactions=True,
            drift_limit_nm=0.1,
        ),
        AnalysisSettings(discard_ps=0.5, broken_bond_factor=1.5, rdf_cutoff_nm=0.6, reference=folder / "ref.pdb"),
        PreparationSettings(
            chains=("A", "B"),
            insert_before={"A:3": "ACE SER"},
            insert_after={"A:10": "NME"},
            keep_heterogens=("CO2",),
            keep_crystal_waters=False,
            alternate_locations={"A:64": "B"},
            variants={"A:64": "HIP"},
            equilibration_ps=0.0,
            pressure_bar=0.0,
            temperature_kelvin=310.0,
        ),
    )


def test_all_settings_are_read_back_equal(tmp_path: Path) -> None:
    settings = _every_value_off_its_default(tmp_path)
    write_settings(settings, tmp_path / "settings.toml")
    assert read_settings(tmp_path / "settings.toml") == settings


def test_settings_written_elsewhere_still_name_the_same_files(tmp_path: Path) -> None:
    settings = _every_value_off_its_default(tmp_path / "here")
    (tmp_path / "there").mkdir()
    write_settings(settings, tmp_path / "there" / "settings.toml")
    assert read_settings(tmp_path / "there" / "settings.toml") == settings


def test_a_folder_with_its_settings_can_be_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_settings(_every_value_off_its_default(old), old / "settings.toml")
    shutil.move(old, new)
    assert read_settings(new / "settings.toml") == _every_value_off_its_default(new)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 12345678.000000001])
def test_floats_keep_their_last_bit(value: float, tmp_path: Path) -> None:
    settings = Settings(SystemSettings(name="x"), analysis=AnalysisSettings(discard_ps=value))
    write_settings(settings, tmp_path / "x.toml")
    assert read_settings(tmp_path / "x.toml").analysis.discard_ps == value


def test_different_settings_have_different_texts(tmp_path: Path) -> None:
    settings = Settings(SystemSettings(name="x"))
    other = Settings(SystemSettings(name="x"), run=RunSettings(seed=2))
    assert format_settings(settings, tmp_path) != format_settings(other, tmp_path)


def test_a_settings_file_is_replaced_on_demand_alone_and_a_link_never(tmp_path: Path) -> None:
    settings, path = Settings(SystemSettings("water")), tmp_path / "system.toml"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"system\.toml exists already.*overwrite=True"):
        write_settings(settings, path)
    assert path.read_text() == "mine"
    (tmp_path / "link.toml").symlink_to("system.toml")
    with pytest.raises(OutputError, match="is a link"):
        write_settings(settings, tmp_path / "link.toml", overwrite=True)
    assert path.read_text() == "mine"
    write_settings(settings, path, overwrite=True)
    assert read_settings(path) == settings
