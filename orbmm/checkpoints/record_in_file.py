"""The record that travels with trained weights: a catalogue entry in the metadata of a safetensors file.

A file that holds its own record needs no entry in catalog.toml: it is loaded by its path, or by the name "orbmm" with
weights=.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.checkpoints.catalog import CheckpointRecord, default_model, find_record
from orbmm.checkpoints.envelope import check_envelope
from orbmm.errors import CheckpointError, ModelError
from orbmm.plain_text import describe_value
from orbmm.settings.paths import OWN_NAME, is_weights_path

RECORD_KEY, TRAINING_KEY = "orbmm_record", "orbmm_training"
FORMAT = 1
LARGEST_FILE = 2 << 30  # bytes
_WIDEST = 65_536  # of any number in an architecture; the published network has 1,024
_TOLD_ELSEWHERE = ("url", "file", "sha256", "aliases", "residues", "bonds")
_NOT_IN_A_FILE = tuple(name for name in _TOLD_ELSEWHERE if name != "aliases")


def resolve_record(name: str, weights: Path | str | None = None) -> CheckpointRecord:
    """Return the record of a model: that in its weights file, or that of the catalogue.

    name: of the catalogue; "orbmm" for whatever network the file holds; or itself the path of a file with a record
    weights: a weights file that the user gave, None for the published or embedded one
    Raises ModelError for an unknown name, and for a name and a file that disagree; CheckpointError for a file without a
    usable record where one is needed.
    """
    if is_weights_path(name):
        name, weights = OWN_NAME, name if weights is None else weights
    own = None if weights is None else read_record(Path(weights).expanduser())
    if name == OWN_NAME:
        return _require_record(own, weights)
    if own is not None and name not in (own.name, default_model()):
        raise ModelError(
            f"weights={weights} holds the model '{own.name}', but '{name}' was asked for: take the name "
            f"'{OWN_NAME}' for whatever network the file holds"
        )
    return find_record(name) if own is None else own


def read_record(path: Path) -> CheckpointRecord | None:
    """Return the record in the metadata of a safetensors file; None for a file of another format, or without one.

    Raises CheckpointError for a record that is damaged or impossible.
    """
    text = _read_metadata(path).get(RECORD_KEY)
    if text is None:
        return None
    try:
        return _build_record(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"{path} holds a damaged record of its model ({describe_value(str(error))}): write the file again"
        ) from error


def read_training(path: Path) -> dict[str, Any]:
    """Return what the file says on its training (data hash, settings, errors); {} without a word on it."""
    return json.loads(_read_metadata(path).get(TRAINING_KEY, "{}"))


def format_record(record: CheckpointRecord, training: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a safetensors file that carries the record. training: what JSON can hold."""
    entry = {name: value for name, value in dataclasses.asdict(record).items() if name not in _TOLD_ELSEWHERE}
    return {
        RECORD_KEY: json.dumps({"format": FORMAT, **entry}, sort_keys=True),
        TRAINING_KEY: json.dumps(training, sort_keys=True),
    }


def _require_record(own: CheckpointRecord | None, weights: Path | str | None) -> CheckpointRecord:
    if weights is None:
        raise ModelError(f"the model '{OWN_NAME}' is whatever network a file holds: give the file as weights=")
    if own is None:
        raise CheckpointError(
            f"weights={weights} does not say which network it holds: give the name of a model of the catalogue with "
            "it, or a file written by `orbmm train`"
        )
    return own


def _read_metadata(path: Path) -> Mapping[str, str]:
    """Return the metadata of a safetensors file; {} for a file that is absent or of another format."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" or not path.is_file() or path.stat().st_size == 0:
        return {}
    check_envelope(path, str(path), LARGEST_FILE)
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"weights={path} is torn or no weights file: copy or download it again") from error


def _build_record(entry: Any) -> CheckpointRecord:
    """Return the record of an entry. Raises ValueError, TypeError or KeyError for an impossible one."""
    if not isinstance(entry, dict) or entry.pop("format", None) != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    sizes = {"architecture": Architecture(**entry["architecture"]), "oddities": Oddities(**entry["oddities"])}
    lists = {"elements": tuple(entry["elements"]), "aliases": ()}
    record = CheckpointRecord(**{**entry, **sizes, **lists, **dict.fromkeys(_NOT_IN_A_FILE)})
    for part in (record, record.architecture, record.oddities):
        _check_types(part)
    _check_values(record)
    return record


def _check_types(part: Any) -> None:
    hints = typing.get_type_hints(type(part))
    for field in dataclasses.fields(part):
        value, hint = getattr(part, field.name), hints[field.name]
        if hint in (str, bool, int) and type(value) is not hint:
            raise TypeError(f"{field.name} is {value!r}")
        if hint is int and not 0 <= value <= _WIDEST:
            raise ValueError(f"{field.name} is {value}")
        if hint is float and not (type(value) in (int, float) and math.isfinite(value) and value > 0):
            raise TypeError(f"{field.name} is {value!r}")


def _check_values(record: CheckpointRecord) -> None:
    if record.kind not in ("direct", "conservative"):
        raise ValueError(f"kind is {record.kind!r}")
    if record.oddities.zbl_aggregation not in ("sum", "mean"):
        raise ValueError(f"zbl_aggregation is {record.oddities.zbl_aggregation!r}")
    if not record.elements or not all(type(number) is int and 1 <= number <= 118 for number in record.elements):
        raise ValueError("elements are not atomic numbers")
    if record.max_neighbors < 1 or record.architecture.cutoff_angstrom > 20.0:
        raise ValueError("max_neighbors or cutoff_angstrom is out of range")
