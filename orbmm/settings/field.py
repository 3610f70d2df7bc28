"""One setting: its default, the sentence that explains it, and its allowed values. Every new dataclass is checked."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orbmm.errors import SettingsError, name_nearest
from orbmm.plain_text import describe_value

Names = tuple[str, ...]
NameTable = Mapping[str, str]
Paths = tuple[Path, ...]
Integers = tuple[int, ...]

LARGEST_INTEGER = 2**31 - 1  # what OpenMM takes
_LARGEST_FLOAT = 2**1023

_TYPE_WORDS: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a file path",
    Names: "a list of texts",
    Paths: "a list of file paths",
    Integers: "a list of whole numbers",
    NameTable: "a table of texts",
}


@dataclass(frozen=True)
class Limits:
    """Limits of a value in addition to its type; None is no limit."""

    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()


def setting(
    sentence: str,
    default: Any = dataclasses.MISSING,
    limits: Limits | None = None,
    *,
    fixed: bool = False,
    interval: bool = False,
) -> Any:
    """Return a dataclass field with its explanation and limits; without a default the setting is required.

    fixed: a resumed run must keep the value, because finished steps and written entries depend on it
    interval: the value is the time between two entries of a file, a whole number of steps in every stage
    """
    metadata = {"sentence": sentence, "limits": limits or Limits(), "fixed": fixed, "interval": interval}
    if default == {}:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def list_marked(settings_class: type, mark: str) -> tuple[str, ...]:
    """Return the names of the settings that are marked "fixed" or "interval", in their order."""
    return tuple(field.name for field in dataclasses.fields(settings_class) if field.metadata[mark])


def value_type(settings_class: type, name: str) -> type:
    """Return the type of a setting, without `| None`."""
    hint = _read_hints(settings_class)[name]
    if isinstance(hint, types.UnionType):
        hint = next(choice for choice in typing.get_args(hint) if choice is not type(None))
    return typing.cast(type, hint)


def entry_class(hint: Any) -> type | None:
    """Return the dataclass D of a type tuple[D, ...], which is a list of tables; None for any other type."""
    entries = typing.get_args(hint) if typing.get_origin(hint) is tuple else ()
    return entries[0] if entries and isinstance(entries[0], type) and dataclasses.is_dataclass(entries[0]) else None


@cache
def _read_hints(settings_class: type) -> dict[str, Any]:
    return typing.get_type_hints(settings_class)


def check_fields(settings: Any) -> None:
    """Convert each value to its declared type (3 to 3.0, "a.pdb" to a path) and check it.

    Raises SettingsError, with the key, the value and what was expected, for a value of a wrong type or beyond a limit.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None and field.default is None:
            continue
        value = _convert(field.name, value, value_type(type(settings), field.name))
        _check_limits(field.name, value, field.metadata["limits"])
        object.__setattr__(settings, field.name, value)


def _convert(name: str, value: Any, wanted: type) -> Any:
    if wanted is float and type(value) is int:
        value = float(value) if abs(value) < _LARGEST_FLOAT else math.inf
    if wanted is Path and isinstance(value, str | Path) and str(value):
        value = Path(value)
    if wanted in (Names, Paths, Integers) and isinstance(value, list):
        value = tuple(value)
    if (
        wanted == Paths
        and isinstance(value, tuple)
        and all(isinstance(each, str | Path) and str(each) for each in value)
    ):
        value = tuple(Path(each) for each in value)
    if not _fits(value, wanted):
        raise SettingsError(
            f"{name} is {describe_value(value)}, but must be {_TYPE_WORDS.get(wanted, 'a list of tables')}"
        )
    if wanted is float and not math.isfinite(value):
        raise SettingsError(f"{name} is {describe_value(value)}, but must be a finite number")
    if wanted is int and abs(value) > LARGEST_INTEGER:
        raise SettingsError(
            f"{name} is {describe_value(value)}, but its absolute value must be at most {LARGEST_INTEGER:,}"
        )
    texts = value if wanted == Paths else (value,) if wanted in (str, Path) else ()
    if not all(_is_text(str(text)) for text in texts):
        raise SettingsError(f"{name} is {describe_value(value)}, but must be text without zero bytes, in UTF-8")
    return value


def _is_text(value: str) -> bool:
    """Return whether a text can be written to a file and given to the operating system."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _fits(value: Any, wanted: Any) -> bool:
    if wanted is Path:
        return isinstance(value, Path)
    if wanted == Names:
        return isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)
    if wanted == Integers:
        return isinstance(value, tuple) and all(type(entry) is int for entry in value)
    if wanted == NameTable:
        return isinstance(value, Mapping) and all(isinstance(entry, str) for entry in value.values())
    if wanted == Paths:
        return isinstance(value, tuple) and all(isinstance(entry, Path) for entry in value)
    if (entry_type := entry_class(wanted)) is not None:
        return isinstance(value, tuple) and all(isinstance(entry, entry_type) for entry in value)
    return type(value) is wanted


def _check_limits(name: str, value: Any, limits: Limits) -> None:
    if limits.choices and value not in limits.choices:
        raise SettingsError(
            f"{name} is {describe_value(value)}, which is not offered: {name_nearest(value, limits.choices)}"
        )
    if limits.above is not None and value <= limits.above:
        raise SettingsError(f"{name} is {describe_value(value)}, but must be above {limits.above:g}")
    if limits.at_least is not None and value < limits.at_least:
        raise SettingsError(f"{name} is {describe_value(value)}, but must be at least {limits.at_least:g}")
    if limits.at_most is not None and value > limits.at_most:
        raise SettingsError(f"{name} is {describe_value(value)}, but must be at most {limits.at_most:g}")
