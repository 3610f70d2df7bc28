"""Read and write Settings as TOML. Unknown keys and wrong values are errors that name the file and the key."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from orbmm.errors import OutputError, SettingsError, UnsafeFile, name_nearest
from orbmm.files import read_file, write_file
from orbmm.outputs import refuse_special
from orbmm.plain_text import describe_value
from orbmm.settings.ensemble import EnsembleSettings, read_sweep
from orbmm.settings.field import entry_class, value_type
from orbmm.settings.paths import change_paths, make_absolute, make_relative
from orbmm.settings.settings import Settings
from orbmm.settings.training import TrainingSettings

LARGEST_FILE = 1_000_000  # bytes; usual files have a few thousand

_NOUNS = {Settings: "a system", TrainingSettings: "a training", EnsembleSettings: "an ensemble"}
Whole = TypeVar("Whole", Settings, TrainingSettings, EnsembleSettings)


def read_settings(path: Path | str) -> Settings:
    """Read the settings in a TOML file; defaults are added and paths are made absolute.

    Raises SettingsError for a missing file, one that is not TOML, an unknown table or key, a wrong type or an
    impossible value.
    """
    path = Path(path)
    return make_settings(_read_document(path), path)


def read_training_settings(path: Path | str) -> TrainingSettings:
    """Read the settings of a training, as `read_settings` reads those of a system."""
    path = Path(path)
    return _make_whole(TrainingSettings, _read_document(path), path)


def read_ensemble_settings(path: Path | str) -> EnsembleSettings:
    """Read the settings of an ensemble, as `read_settings` reads those of a system."""
    path = Path(path)
    document = _read_document(path)
    sweep = read_sweep(document.pop("sweep", {}), path)
    settings = _make_whole(EnsembleSettings, document, path)
    return dataclasses.replace(settings, sweep=sweep)


def make_settings(document: Mapping[str, Any], path: Path) -> Settings:
    """Return the settings in a document that was read from `path`, as `read_settings` does."""
    return _make_whole(Settings, document, path)


def _make_whole(kind: type[Whole], document: Mapping[str, Any], path: Path) -> Whole:
    types = typing.get_type_hints(kind)
    for name in document:
        if name not in types:
            _check_kind(path, document, kind)
            raise SettingsError(f"{path}: unknown table [{name}]; {name_nearest(name, types)}")
    absent: dict[str, Any] = {name: {} for name, kind in types.items() if entry_class(kind) is None}
    given = absent | dict(document)
    tables = {name: _read_value(path, name, types[name], value) for name, value in given.items()}
    try:
        return kind(**tables)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _check_kind(path: Path, document: Mapping[str, Any], kind: type[Whole]) -> None:
    """Raise SettingsError if a document has the tables of another kind of settings."""
    for other, noun in _NOUNS.items():
        if document.keys() <= typing.get_type_hints(other).keys():
            raise SettingsError(f"{path} has the settings of {noun}, but this needs those of {_NOUNS[kind]}")


def _read_document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(
            read_file(path, LARGEST_FILE).decode("utf-8-sig")
        )  # an editor may have written a byte order mark
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such settings file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as a settings file ({error})") from error
    except UnsafeFile as error:
        raise SettingsError(f"{path}: cannot be read as a settings file ({error.fault})") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not a settings file (brackets are nested too deeply)") from error
    except ValueError as error:  # of tomllib, or a number of thousands of digits
        raise SettingsError(f"{path}: not a TOML file ({error})") from error


def _read_value(path: Path, name: str, kind: Any, value: Any) -> Any:
    """Return a table, a list of tables, or a plain value, according to the type `kind`."""
    entry = entry_class(kind)
    if entry is not None:
        if not isinstance(value, list):
            raise SettingsError(
                f"{path}: {name} is {describe_value(value)}, but must be tables that each start with the line "
                f"[[{name}]]"
            )
        return tuple(_read_table(path, name, entry, each) for each in value)
    return _read_table(path, name, kind, value) if dataclasses.is_dataclass(kind) else value


def _read_table(path: Path, name: str, kind: Any, values: Any) -> Any:
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path}: {name} is {describe_value(values)}, but must be a table that starts with the line [{name}]"
        )
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise SettingsError(f"{path}: unknown key {describe_value(key)} in [{name}]; {name_nearest(key, fields)}")
    for field in fields.values():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise SettingsError(f"{path}: [{name}] lacks '{field.name}': {field.metadata['sentence']}")
    read = {key: _read_value(path, f"{name}.{key}", value_type(kind, key), value) for key, value in values.items()}
    try:
        return change_paths(kind(**read), lambda given: make_absolute(given, path.parent))
    except SettingsError as error:
        raise SettingsError(f"{path}: [{name}] {error}") from error


def override_settings(settings: Settings, changes: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Return the settings with the values of `changes[table][key]`; None does not change a value.

    Raises SettingsError for a wrong type or an impossible value.
    """
    changed = {}
    for table, values in changes.items():
        given = {key: value for key, value in values.items() if value is not None}
        changed[table] = dataclasses.replace(getattr(settings, table), **given)
    return dataclasses.replace(settings, **changed)


def write_settings(settings: Settings | TrainingSettings, path: Path | str, *, overwrite: bool = False) -> None:
    """Write every setting, including defaults. Paths inside the folder of the file become relative to it.

    overwrite: replace a file of that name, but not a link
    Raises OutputError if the path exists and may not be replaced; OSError as `open` does.
    """
    path = Path(path)
    if refuse_special(path) and not overwrite:
        raise OutputError(path, "exists already", "name another path, or pass overwrite=True")
    write_file(path, format_settings(settings, path.parent).encode())


def format_settings(settings: Settings | TrainingSettings, folder: Path) -> str:
    """Return the text of a settings file in the folder."""
    tables: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, tuple):  # of stages, which name no files
            if value:
                tables[field.name] = [_list_values(each) for each in value]
        else:
            tables[field.name] = _list_values(change_paths(value, lambda path: make_relative(path, folder)))
    return tomli_w.dumps(tables)


def _list_values(table: Any) -> dict[str, Any]:
    values = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    return {name: _write_value(value) for name, value in values.items() if value is not None}


def _write_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_list_values(each) if dataclasses.is_dataclass(each) else _write_value(each) for each in value]
    return value.as_posix() if isinstance(value, Path) else value
