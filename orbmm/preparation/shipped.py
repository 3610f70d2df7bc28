"""The example systems that come with orbmm: the folders of `systems/`, which a wheel holds as `orbmm/systems`."""

from __future__ import annotations

import shutil
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from orbmm.errors import PreparationError, name_nearest
from orbmm.files import write_new

_SETTINGS = "system.toml"


def list_systems() -> dict[str, str]:
    """Return the first line of its README for every system, by name."""
    return {
        folder.name: (folder / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        for folder in sorted(_find_root().iterdir(), key=lambda folder: folder.name)
        if (folder / _SETTINGS).is_file()
    }


def write_system(name: str, folder: Path) -> Path:
    """Write the files of a system into a new folder; return the path of its system.toml.

    Raises PreparationError for an unknown name, a folder that exists, or one that cannot be written.
    """
    known = list_systems()
    if name not in known:
        raise PreparationError(f"no system '{name}' comes with orbmm; {name_nearest(name, known)}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise PreparationError(f"{folder} exists already: give another folder with --output, or remove it") from error
    except OSError as error:
        raise PreparationError(f"the folder {folder} cannot be made: {error}") from error
    try:
        for source in (_find_root() / name).iterdir():
            if source.is_file():
                write_new(folder / source.name, source.read_bytes())
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PreparationError(f"the system cannot be written to {folder}: {error}") from error
    return folder / _SETTINGS


def _find_root() -> Traversable:
    """Return the folder of all systems: inside an installed package, or beside that of a clone."""
    package = files("orbmm")
    inside = package / "systems"
    return inside if inside.is_dir() else Path(str(package)).parent / "systems"
