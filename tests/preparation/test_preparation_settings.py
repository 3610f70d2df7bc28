"""The table [preparation] is strict about lists and tables of residues too."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from orbmm.errors import SettingsError
from orbmm.preparation.hydrogens.protonation import VARIANTS
from orbmm.settings import LigandSettings, Settings, SystemSettings, read_settings, write_settings
from orbmm.settings.preparation import PreparationSettings

BAD = {
    'chains = "A"': "chains is 'A', but must be a list of texts",
    "chains = [1]": "must be a list of texts",
    'variants = ["A:64"]': "must be a table of texts",
    'variants = { "A:64" = 3 }': "must be a table of texts",
    'variants = { "64" = "HIP" }': "names residue '64'.*chain:number",
    "equilibration_ps = -1": "must be at least 0",
    "temperature_kelvin = 0": "must be above 0",
    'keep_crystal_waters = "yes"': "must be true or false",
    'variant = { "A:64" = "HIP" }': "did you mean 'variants'",
    'ligand = "AZM"': r"must be tables that each start with the line \[\[preparation.ligand\]\]",
    "ligand = [{ smiles = 'C' }]": r"\[preparation.ligand\] lacks 'residue'",
    "ligand = [{ residue = 'AZM' }]": "AZM needs its molecule once: either smiles or file",
    "ligand = [{ residue = 'AZM', smiles = 'C', file = 'a.sdf' }]": "either smiles or file",
    "ligand = [{ residue = 'AZM', file = 'a.pdb' }]": "must end in .sdf, .mol, .mol2",
    "ligand = [{ residue = 'AZM 301', smiles = 'C' }]": "must be a name such as AZM, or one residue",
    "ligand = [{ residue = 'AZM', smiles = 'C', place_at = '262' }]": "place_at names '262'.*chain:number",
    "ligand = [{ residue = 'AZM', smile = 'C' }]": "did you mean 'smiles'",
    "ligand = [{ residue = 'A', smiles = 'C' }, { residue = 'A', smiles = 'N' }]": "two ligands have the residue 'A'",
    "keep_heterogens = ['AZM']\nligand = [{ residue = 'AZM', smiles = 'C' }]": "AZM is named in keep_heterogens and as",
}


@pytest.mark.parametrize(("line", "message"), BAD.items(), ids=BAD)
def test_a_bad_line_is_refused(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(f'[system]\nname = "x"\n[preparation]\n{line}\n')
    with pytest.raises(SettingsError, match=message):
        read_settings(path)


def test_lists_and_tables_are_read_back_equal(tmp_path: Path) -> None:
    preparation = PreparationSettings(
        chains=("A", "B"),
        insert_before={"A:3": "ACE SER"},
        variants={"A:64": "HIP", "B:2": "ASH"},
        pressure_bar=0.0,
        ligand=(LigandSettings(residue="AZM A:301", file=tmp_path / "azm.sdf", charge=-1),),
    )
    settings = Settings(system=SystemSettings(name="x"), preparation=preparation)
    write_settings(settings, tmp_path / "system.toml")
    assert read_settings(tmp_path / "system.toml") == settings


def test_the_page_for_users_names_every_setting_and_form(repository: Path) -> None:
    fields = (repository / "docs" / "preparation.md").read_text(encoding="utf-8").split("## The fields")[1]
    named = set(re.findall(r"`(\w+)`", fields))
    assert {field.name for field in dataclasses.fields(PreparationSettings)} <= named
    building = {field.name for field in dataclasses.fields(SystemSettings)} - {"name", "structure", "state"}
    assert building <= named
    assert {form for forms in VARIANTS.values() for form in forms} <= named
