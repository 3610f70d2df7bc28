"""Write Settings as TOML. Reading the file gives exactly the same settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tomli_w

from orbmm.errors import OutputError
from orbmm.files import write_file
from orbmm.outputs import refuse_special
from orbmm.settings.paths import change_paths, make_relative
from orbmm.settings.settings import Settings


def write_settings(settings: Settings, path: Path | str, *, overwrite: bool = False) -> None:
    """Write every setting, including defaults. Paths inside the folder of the file become relative to it.

    overwrite: replace a file of that name, but not a link
    Raises OutputError if the path exists and may not be replaced; OSError as `open` does.
    """
    path = Path(path)
    if refuse_special(path) and not overwrite:
        raise OutputError(path, "exists already", "name another path, or pass overwrite=True")
    write_file(path, format_settings(settings, path.parent).encode())


def format_settings(settings: Settings, folder: Path) -> str:
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
        return [_list_values(each) if dataclasses.is_dataclass(each) else each for each in value]
    return value.as_posix() if isinstance(value, Path) else value
