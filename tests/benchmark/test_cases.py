"""Cases of a benchmark: strict TOML in, atoms out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from orbmm.benchmark.cases import Case, build_atoms, build_water, choose_cases, load_atoms, read_cases
from orbmm.errors import SettingsError


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.toml"
    path.write_text(text)
    return path


def test_the_cases_of_the_package_grow_from_small_to_large() -> None:
    waters = [case.water_atoms for case in read_cases() if case.water_atoms is not None]
    assert waters == sorted(waters) == [300, 999, 3000, 9999, 30000, 99999]
    assert {"alanine-dipeptide-explicit", "carbonic-anhydrase-ii"} <= {case.name for case in read_cases()}


def test_a_structure_lies_beside_its_file_or_in_the_folder_named(tmp_path: Path) -> None:
    path = write(tmp_path, '[[case]]\nname = "one"\nstructure = "one.pdb"\n')
    assert read_cases(path) == (Case("one", structure=tmp_path / "one.pdb"),)
    assert read_cases(path, Path("else")) == (Case("one", structure=Path("else/one.pdb")),)


BAD = {
    'name = "a"\nwater = 30': "unknown key 'water'.*did you mean 'water_atoms'",
    'name = "a"\nwater_atoms = "many"': "water_atoms = 'many'.*expected int",
    'name = "a"\nwater_atoms = 2': "expected 3 to 3,000,000",
    'name = "a"': "either water_atoms or structure",
    'name = "a"\nwater_atoms = 30\nstructure = "b.pdb"': "either water_atoms or structure",
    "water_atoms = 30": "needs a name",
}


@pytest.mark.parametrize("table", BAD)
def test_a_case_that_makes_no_sense_is_named(table: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=BAD[table]):
        read_cases(write(tmp_path, f"[[case]]\n{table}\n"))


@pytest.mark.parametrize("text", ["", "speed = 3\n", "[case\n", "case = 3\n", "case = [1]\n"])
def test_a_file_without_cases_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TOML|expected"):
        read_cases(write(tmp_path, text))


@pytest.mark.parametrize("atoms", ["2", "3000001", "1" + 400 * "0"])
def test_a_box_that_cannot_be_built_in_time_is_refused(atoms: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected 3 to 3,000,000"):
        read_cases(write(tmp_path, f'[[case]]\nname = "w"\nwater_atoms = {atoms}\n'))
    assert read_cases(write(tmp_path, '[[case]]\nname = "w"\nwater_atoms = 3000000\n'))[0].water_atoms == 3_000_000


def test_an_absent_file_and_an_unknown_case_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such cases file"):
        read_cases(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="unknown case 'water-1kk': did you mean 'water-1k'"):
        choose_cases(read_cases(), ["water-1kk"])
    assert [case.name for case in choose_cases(read_cases(), ["water-1k"])] == ["water-1k"]


@pytest.mark.parametrize(
    "content", [b"a = " + b"[" * 50_000, b"\xff", b"a = " + b"9" * 5000], ids=["nested", "bytes", "long"]
)
def test_a_file_that_is_no_toml_is_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cases.toml").write_bytes(content)
    with pytest.raises(SettingsError, match="cases.toml: not a TOML file"):
        read_cases(tmp_path / "cases.toml")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cases.toml")
    with pytest.raises(SettingsError, match="cases.toml: not a TOML file"):
        read_cases(tmp_path / "cases.toml")


def test_water_has_the_density_of_water_and_survives_the_disk(tmp_path: Path) -> None:
    water = build_water(100)
    assert sorted(water.atomic_numbers.tolist()) == [1] * 200 + [8] * 100
    grams_per_cubic_cm = 100 * 18.015 / np.linalg.det(water.cell) / 0.602214
    assert grams_per_cubic_cm == pytest.approx(0.997, rel=1e-3)
    assert np.allclose(np.linalg.norm(water.positions[1::3] - water.positions[::3], axis=1), 0.9572, atol=0.01)
    water.save(tmp_path / "water.npz")
    read = load_atoms(tmp_path / "water.npz")
    assert np.array_equal(read.positions, water.positions)
    assert np.array_equal(read.cell, water.cell)


def test_a_structure_file_gives_its_atoms(repository: Path) -> None:
    atoms = build_atoms(Case("water", structure=repository / "systems" / "water" / "water.pdb"))
    assert len(atoms.positions) == len(atoms.atomic_numbers) > 100
    assert atoms.cell is not None
    with pytest.raises(SettingsError, match="put it there, or name its folder with --structures"):
        build_atoms(Case("gone", structure=repository / "gone.pdb"))


PROTEINS = {
    "alanine-dipeptide-explicit": "alanine_dipeptide_explicit.pdb",
    "carbonic-anhydrase-ii": "carbonic-anhydrase-ii/carbonic-anhydrase-ii.pdb",  # as `orbmm prepare` writes it
}


@pytest.mark.parametrize("structures", [None, Path("elsewhere")])
def test_one_folder_holds_every_structure_of_the_package(
    structures: Path | None, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, file in PROTEINS.items():
        (case,) = choose_cases(read_cases(structures=structures), [name])
        with pytest.raises(SettingsError, match="no file"):
            build_atoms(case)
        path = (structures or Path("prepared")) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "systems" / "water" / "water.pdb", path)
        assert len(build_atoms(case).positions) > 100


def test_a_missing_structure_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dipeptide, anhydrase = choose_cases(read_cases(), list(PROTEINS))
    with pytest.raises(SettingsError, match="`orbmm new carbonic-anhydrase-ii` and `orbmm prepare carb"):
        build_atoms(anhydrase)
    with pytest.raises(SettingsError, match="alanine-dipeptide-explicit.pdb of github.com/openmm/openmm-ml"):
        build_atoms(dipeptide)
