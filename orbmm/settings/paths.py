"""Paths in settings: relative to their file on disk, absolute in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from orbmm.settings.field import value_type

_STRUCTURE_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")

Table = TypeVar("Table")


def is_source_file(source: str) -> bool:
    """Whether `source` names a structure file, not an embedded system or an entry of the protein data bank."""
    return source.lower().endswith(_STRUCTURE_SUFFIXES)


def make_absolute(path: Path, folder: Path) -> Path:
    """The path, read from a file that lies in the folder."""
    return (folder / path.expanduser()).resolve()


def make_relative(path: Path, folder: Path) -> Path:
    """The path as a file in the folder writes it: relative where it lies inside, so that the folder can be moved."""
    folder = folder.resolve()
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def change_paths(table: Table, change: Callable[[Path], Path]) -> Table:
    """One settings table with every path in it changed."""
    changed: dict[str, object] = {}
    for field in dataclasses.fields(table):  # type: ignore[arg-type]
        value = getattr(table, field.name)
        if value is None:
            continue
        if value_type(type(table), field.name) is Path:
            changed[field.name] = change(value)
        elif field.name == "source" and is_source_file(value):
            changed[field.name] = change(Path(value)).as_posix()
    return dataclasses.replace(table, **changed)  # type: ignore[type-var]
