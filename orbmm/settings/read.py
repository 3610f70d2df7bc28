"""SYSTEM.toml -> Settings: strict, and every complaint names the file and the key."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from orbmm.errors import SettingsError, name_nearest
from orbmm.settings.paths import change_paths, make_absolute
from orbmm.settings.settings import Settings

Table = TypeVar("Table")


def read_settings(path: Path | str) -> Settings:
    """The settings in a TOML file, complete with defaults, paths made absolute.

    Raises SettingsError: file missing or not TOML, unknown table or key, wrong type, impossible value.
    """
    path = Path(path)
    return make_settings(_read_document(path), path)


def make_settings(document: Mapping[str, Any], path: Path) -> Settings:
    """The settings in the tables of a document that was read from `path`, as `read_settings` makes them."""
    table_types = typing.get_type_hints(Settings)
    for name in document:
        if name not in table_types:
            raise SettingsError(f"{path}: unknown table [{name}]; {name_nearest(name, table_types)}")
    tables = {name: _read_table(path, name, kind, document.get(name, {})) for name, kind in table_types.items()}
    return Settings(**tables)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such settings file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as a settings file ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not a TOML file ({error})") from error


def _read_table(path: Path, name: str, kind: type[Table], values: Any) -> Table:
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: {name} is {values!r}, but must be a table that starts with the line [{name}]")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    known = [field.name for field in fields]
    for key in values:
        if key not in known:
            raise SettingsError(f"{path}: unknown key '{key}' in [{name}]; {name_nearest(key, known)}")
    for field in fields:
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise SettingsError(f"{path}: [{name}] lacks '{field.name}': {field.metadata['sentence']}")
    try:
        table = kind(**values)
    except SettingsError as error:
        raise SettingsError(f"{path}: [{name}] {error}") from error
    return change_paths(table, lambda given: make_absolute(given, path.parent))
