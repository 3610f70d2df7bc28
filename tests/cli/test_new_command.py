"""`orbmm new`: every example system can be written anywhere, by a clone and by a wheel alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.errors import PreparationError
from orbmm.preparation.shipped import list_systems, write_system
from orbmm.settings import read_settings

NAMES = ("alanine-dipeptide", "carbonic-anhydrase-ii", "chignolin", "trp-cage", "water")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [str(each) for each in arguments])


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_system_of_the_repository_is_offered(repository: Path) -> None:
    assert tuple(list_systems()) == NAMES == tuple(sorted(path.name for path in (repository / "systems").iterdir()))


@pytest.mark.parametrize("name", NAMES)
def test_a_system_is_written_as_the_repository_has_it(name: str, tmp_path: Path, repository: Path) -> None:
    path = write_system(name, tmp_path / "deep" / "copy")
    assert read_folder(path.parent) == read_folder(repository / "systems" / name)
    settings = read_settings(path)
    assert settings.system.source or settings.system.structure.is_file()


def test_the_next_command_is_run_for_a_box_and_prepare_for_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("new", "water").stdout.splitlines() == ["written: water", "next: orbmm run water/system.toml"]
    assert call("new", "chignolin", "--output", "my protein").stdout.splitlines()[-1] == (
        "next: orbmm prepare 'my protein/system.toml'"
    )


def test_without_a_name_the_systems_are_listed() -> None:
    lines = call("new").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert lines[-1].split(maxsplit=1)[1] == "Water"


def test_a_folder_that_exists_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    answer = call("new", "water", "--output", tmp_path)
    assert answer.exit_code == 2 and "exists already" in answer.stderr and answer.stderr.count("\n") == 1
    assert read_folder(tmp_path) == {"notes.txt": b"mine"}


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    answer = call("new", "chignoline", "--output", tmp_path / "new")
    assert (answer.exit_code, answer.stderr) == (
        2, "error: no system 'chignoline' comes with orbmm; did you mean 'chignolin'?\n"
    )  # fmt: skip
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreparationError, match="cannot be made"):
        write_system("water", tmp_path / "file" / "water")


def test_a_wheel_alone_offers_every_system_and_its_types(tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / "orbmm" / "py.typed").is_file()
    command = "import orbmm, sys; from orbmm.cli.main import main; sys.stderr.write(orbmm.__file__); main()"
    for name in NAMES:
        answer = subprocess.run(
            [sys.executable, "-c", command, "new", name],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
            text=True,
            capture_output=True,
            check=True,
        )
        assert answer.stderr == str(tmp_path / "installed" / "orbmm" / "__init__.py")
        assert read_folder(tmp_path / name) == read_folder(repository / "systems" / name)


def test_the_next_command_can_be_copied_whatever_the_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("new", "water", "--output=-rf").stdout.splitlines()[-1] == "next: orbmm run ./-rf/system.toml"
    assert call("new", "water", "--output", "a\nb\x9b").stdout.splitlines() == [
        r"written: a\nb\x9b",
        r"next: orbmm run $'a\x0ab\xc2\x9b/system.toml'",
    ]
