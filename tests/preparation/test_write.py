"""A prepared system replaces an earlier one, if that is asked for, and nothing of the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from file_size import limit_file_size
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.outputs import RECORD_NAME

WritePeptide = Callable[..., Path]
SHORT = ("--padding-nm", "0.5", "--equilibration-ps", "0")
OWN = b"mine\n"


def prepare(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["prepare", *map(str, arguments), *SHORT])


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expect_refusal(result: Result, words: str) -> None:
    """Check for one line on stderr, before any stage began."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and words in result.stderr, result.stderr
    assert "name another --output" in result.stderr


@pytest.fixture
def peptide(tmp_path: Path, write_peptide: WritePeptide, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A structure file of the user in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.pdb").write_bytes(write_peptide("ALA").read_bytes())
    return tmp_path / "my.pdb"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The content of each file of a prepared box of water."""
    folder = tmp_path_factory.mktemp("prepared") / "water"
    result = prepare("water", "--output", folder)
    assert result.exit_code == 0, result.output
    return read_all(folder)


def put(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("options", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize("source", ["my.pdb", "./my.pdb", "also/my.pdb", "hard.pdb", "link.pdb"])
def test_the_structure_that_is_prepared_stays(
    source: str, options: tuple[str, ...], peptide: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = peptide.read_bytes()
    (tmp_path / "also").symlink_to(".")
    (tmp_path / "recipe.toml").write_text(f'[system]\nname = "my"\nsource = "{source}"\n')
    os.link(peptide, tmp_path / "hard.pdb")
    (tmp_path / "link.pdb").symlink_to("my.pdb")
    expect_refusal(prepare("recipe.toml", "--output", ".", *options), "my.pdb is read by this command")
    assert peptide.read_bytes() == content and not (tmp_path / "system.toml").exists()
    assert caplog.messages == []


def test_a_bare_structure_stays_too_and_another_folder_takes_the_box(peptide: Path, tmp_path: Path) -> None:
    content = peptide.read_bytes()
    expect_refusal(prepare("my.pdb", "--output", "."), "my.pdb is read by this command")
    assert prepare("my.pdb", "--output", "box").exit_code == 0
    assert peptide.read_bytes() == content != (tmp_path / "box" / "my.pdb").read_bytes()


@pytest.mark.parametrize("options", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize("name", ["water.pdb", "water.cif", "preparation.json", "system.toml"])
def test_files_of_the_user_stay(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(OWN)
    expect_refusal(prepare("water", "--output", tmp_path, *options), f"{name} was not written by orbmm")
    assert read_all(tmp_path) == {name: OWN}


def test_other_files_of_the_user_are_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "notes.pdb").write_bytes(OWN)
    assert prepare("water", "--output", tmp_path).exit_code == 0
    assert (tmp_path / "notes.pdb").read_bytes() == OWN


@pytest.mark.parametrize("record", [True, False], ids=["", "of a version without a record"])
def test_a_prepared_system_is_replaced_on_demand_alone(
    record: bool, prepared: dict[str, bytes], tmp_path: Path
) -> None:
    folder = put({name: content for name, content in prepared.items() if record or name != RECORD_NAME}, tmp_path / "p")
    before = read_all(folder)
    expect_refusal(prepare("water", "--output", folder), "system.toml exists already")
    assert read_all(folder) == before
    result = prepare("water", "--output", folder, "--box", "octahedron", "--overwrite")
    assert result.exit_code == 0, result.output
    assert read_all(folder)["water.pdb"] != prepared["water.pdb"]
    assert json.loads(read_all(folder)["preparation.json"])["box_shape"] == "octahedron"


def test_the_same_command_writes_the_same_bytes(prepared: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(prepared, tmp_path / "p")
    assert prepare("water", "--output", folder, "--overwrite").exit_code == 0
    assert read_all(folder) == prepared


def test_edited_settings_are_replaced_on_demand_and_an_exchanged_structure_is_not(
    prepared: dict[str, bytes], tmp_path: Path
) -> None:
    edited = {**prepared, "system.toml": prepared["system.toml"] + b"# my remark\n"}
    folder = put(edited, tmp_path / "edited")
    assert prepare("water", "--output", folder, "--overwrite").exit_code == 0
    assert read_all(folder) == prepared
    exchanged = put({**prepared, "water.pdb": OWN}, tmp_path / "exchanged")
    expect_refusal(prepare("water", "--output", exchanged, "--overwrite"), "water.pdb was not written by orbmm")
    assert read_all(exchanged) == {**prepared, "water.pdb": OWN}


def test_settings_written_by_hand_stay_beside_a_record_without_settings(
    prepared: dict[str, bytes], tmp_path: Path
) -> None:
    """As in the folders of this repository: structure and record are built, the settings are somebody's own."""
    by_hand = b'# by hand\n[system]\nname = "water"\nstructure = "water.pdb"\nsource = "water"\n'
    files = {"preparation.json": prepared["preparation.json"], "water.pdb": OWN, "system.toml": by_hand}
    folder = put(files, tmp_path / "p")
    expect_refusal(prepare("water", "--output", folder, "--overwrite"), "was not written by orbmm")
    assert read_all(folder) == files


def test_a_recipe_is_not_replaced_by_what_it_makes(prepared: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(prepared, tmp_path / "p")
    result = prepare(folder / "system.toml", "--output", folder, "--overwrite")
    expect_refusal(result, "system.toml is read by this command")
    assert read_all(folder) == prepared


def test_a_link_in_the_place_of_a_file_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_bytes(OWN)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "water.pdb").symlink_to(target)
    expect_refusal(prepare("water", "--output", tmp_path / "p", "--overwrite"), "water.pdb is a link")
    assert target.read_bytes() == OWN and (tmp_path / "p" / "water.pdb").is_symlink()


@pytest.mark.parametrize("folder", ["file", "file/deep", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(OWN)
    result = prepare("water", "--output", folder)
    assert result.exit_code == 2 and f"cannot be written to {folder}" in result.stderr
    assert result.stderr.count("\n") == 1 and caplog.messages == []
    assert read_all(tmp_path) == {"file": OWN}


def test_a_full_disk_leaves_the_former_system_and_the_command_can_be_repeated(
    prepared: dict[str, bytes], tmp_path: Path
) -> None:
    folder = put(prepared, tmp_path / "p")
    with limit_file_size(5_000):  # less than the structure
        result = prepare("water", "--output", folder, "--overwrite", "--seed", 2)
    assert result.exit_code == 2 and "File too large" in result.stderr and result.stderr.count("\n") == 1
    left = read_all(folder)
    assert left.pop(RECORD_NAME) and left.items() <= prepared.items() and len(left) == 3
    assert prepare("water", "--output", folder, "--overwrite").exit_code == 0
    assert read_all(folder) == prepared
