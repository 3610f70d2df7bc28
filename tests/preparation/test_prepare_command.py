"""`orbmm prepare` on the command line: a folder, a summary, and one line where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.settings import read_settings

WritePeptide = Callable[..., Path]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["prepare", *map(str, arguments)])


def test_a_built_in_system_becomes_a_folder_that_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("alanine-dipeptide", "--padding-nm", 0.5, "--equilibration-ps", 0, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert "next: orbmm run prepared/alanine-dipeptide/system.toml" in result.stdout
    assert "not for research" in " ".join(result.stdout.split())
    (warning,) = [line for line in result.stdout.splitlines() if line.startswith("warning: density 0.")]
    assert warning.endswith("or start the run at constant pressure")
    settings = read_settings(tmp_path / "prepared" / "alanine-dipeptide" / "system.toml")
    assert settings.system.structure is not None and settings.system.structure.is_file()
    assert (settings.system.seed, settings.system.padding_nm, settings.preparation.equilibration_ps) == (3, 0.5, 0)


def test_a_recipe_is_followed_and_the_command_line_overrules_it(
    tmp_path: Path, write_peptide: WritePeptide, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'[system]\nname = "acid"\nsource = "{write_peptide("ASP")}"\npadding_nm = 0.5\nseed = 7\n'
        "[preparation]\nequilibration_ps = 0\n[run]\nlength_ps = 0.25\n"
    )
    result = invoke(recipe, "--ph", 3.5, "--output", tmp_path / "out", "--equilibration-ps", 0.01)
    assert result.exit_code == 0, result.stderr
    settings = read_settings(tmp_path / "out" / "system.toml")
    assert (settings.system.ph, settings.system.seed, settings.run.length_ps) == (3.5, 7, 0.25)
    assert "ASP as ASH: A:2 (pH 3.5)" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "out" / "preparation.json").read_text())["solute_charge"] == 0
    stages = ["repairing", "placing", "filling", "minimising", "equilibrating"]
    assert [message.split()[0] for message in caplog.messages] == stages


def test_a_model_that_needs_the_charge_gets_it(tmp_path: Path, write_peptide: WritePeptide) -> None:
    arguments = ("--padding-nm", 0.5, "--equilibration-ps", 0, "--no-neutralize", "--output", tmp_path / "out")
    result = invoke(write_peptide("ASP"), "--model", "orb-v3-direct-omol", *arguments)
    assert result.exit_code == 0, result.stderr
    model = read_settings(tmp_path / "out" / "system.toml").model
    assert (model.charge, model.multiplicity) == (-1, 1)
    assert "warning: the box has total charge -1" in result.stdout


BAD = {
    "missing file": (["nowhere.pdb"], "there is no structure file"),
    "missing recipe": (["nowhere.toml"], "no such settings file"),
    "unknown source": (["alanine"], "neither a structure file"),
    "unknown model": (["water", "--model", "orb-v3-direct-inf-oma"], "orb-v3-direct-inf-omat"),
    "unknown shape": (["water", "--box", "dodecahedra"], "did you mean 'dodecahedron'"),
    "impossible pH": (["water", "--ph", "15"], "ph is 15.0"),
    "padding too small": (["water", "--padding-nm", "0.1"], "at least 0.3 nm is needed"),
    "salt for a model without ions": (["water", "--salt", "0.15"], "was not trained on Na and Cl"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text("keep me")
    result = invoke("water", "--output", tmp_path)
    assert result.exit_code == 2 and "system.toml was not written by orbmm" in result.stderr
    assert (tmp_path / "system.toml").read_text() == "keep me"
