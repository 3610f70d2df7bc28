"""Resolve paths in settings (relative in the file, absolute in memory), and find the cache folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_dir

from orbmm.errors import SettingsError
from orbmm.plain_text import describe_value, is_control
from orbmm.settings.field import Paths, value_type

_STRUCTURE_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")

OWN_NAME = "orbmm"
"""The model name that means the network of a weights file that holds its own record."""

Table = TypeVar("Table")

LONGEST_NAME = 200  # bytes; a file system takes 255, and file names are longer than the name of the system


def check_name(name: str) -> None:
    """Raise SettingsError unless files and folders can have this name."""
    whole = bool(name) and name[0] not in ".-" and not any(one in "/\\" or is_control(one) for one in name)
    if not whole or len(name.encode()) > LONGEST_NAME:
        raise SettingsError(
            f"name is {describe_value(name)}, but must be a short word that can be part of a path: at most "
            f"{LONGEST_NAME} bytes, no slash or control character, no dot or hyphen at its start"
        )


def is_source_file(source: str) -> bool:
    """Return whether `source` is a structure file, not an embedded system or an entry of the Protein Data Bank."""
    return source.lower().endswith(_STRUCTURE_SUFFIXES)


def is_weights_path(name: str) -> bool:
    """Return True for a model name that is the path of a weights file with its own record."""
    return name.endswith(".safetensors")


def make_absolute(path: Path, folder: Path) -> Path:
    """Return the absolute path of one in a file; the folder is that of the file.

    Raises SettingsError if no file can have that path: an unknown user, links in a circle, or a name that is too long.
    """
    try:
        absolute = (folder / path.expanduser()).resolve()
        os.stat(absolute)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return absolute  # the code that needs the file reports that it is missing
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"no file can be at {describe_value(path)} ({reason}); correct the path") from error
    return absolute


def make_relative(path: Path, folder: Path) -> Path:
    """Return the path to write into a file of the folder: relative if inside it, so that the folder can be moved."""
    folder = folder.resolve()
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def change_paths(table: Table, change: Callable[[Path], Path]) -> Table:
    """Return a copy of a settings table with every path in it changed."""
    changed: dict[str, object] = {}
    for field in dataclasses.fields(table):  # type: ignore[arg-type]
        value = getattr(table, field.name)
        if value is None:
            continue
        if value_type(type(table), field.name) is Path:
            changed[field.name] = change(value)
        elif value_type(type(table), field.name) == Paths:
            changed[field.name] = tuple(change(each) for each in value)
        elif field.name == "source" and is_source_file(value):
            changed[field.name] = change(Path(value)).as_posix()
    return dataclasses.replace(table, **changed)  # type: ignore[type-var]


CACHE_VARIABLE = "ORBMM_CACHE"


def cache_folder() -> Path:
    """Return the folder in $ORBMM_CACHE, or the user's cache folder; absolute, and perhaps not existing."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("orbmm")).expanduser().absolute()
