"""Settings from a file, with some values replaced by what was asked for on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from orbmm.settings.settings import Settings


def override_settings(settings: Settings, changes: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings with `changes[table][key]` in place; None leaves a value as it is.

    Raises SettingsError for a value that the key does not take.
    """
    changed = {}
    for table, values in changes.items():
        given = {key: value for key, value in values.items() if value is not None}
        changed[table] = dataclasses.replace(getattr(settings, table), **given)
    return dataclasses.replace(settings, **changed)
