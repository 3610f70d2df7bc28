"""What to change in the settings when the memory does not suffice for a system."""

from __future__ import annotations

import dataclasses

from orbmm.checkpoints.catalog import CheckpointRecord, find_record, list_models
from orbmm.settings import ModelSettings

_SIGNS = (
    "out of memory",  # CUDA
    "can't allocate memory",  # torch on a CPU
    "unable to allocate",  # NumPy
    "std::bad_alloc",
)


def is_out_of_memory(text: str) -> bool:
    """Whether an error of torch, CUDA or Python says that memory is short."""
    return any(sign in text.lower() for sign in _SIGNS)


def name_smaller_setting(model: ModelSettings) -> str:
    """The setting that takes least away from a run and makes room."""
    record = find_record(model.name)
    if record.kind == "conservative" and model.memory != "lean":
        return 'set memory = "lean" in [model], which gives the same forces more slowly'
    if model.precision == "float64":
        return 'set precision = "float32-high" in [model], which takes half the memory'
    for wanted in (
        dataclasses.replace(record, max_neighbors=20),
        dataclasses.replace(record, kind="direct"),
        dataclasses.replace(record, kind="direct", max_neighbors=20),
    ):
        smaller = _find_like(wanted) if wanted != record else None
        if smaller is not None:
            return f'set name = "{smaller}" in [model], which needs less, or take a smaller box (padding_nm)'
    return "take a smaller box (padding_nm of [system]) or a device with more memory"


def _find_like(wanted: CheckpointRecord) -> str | None:
    """A published model of this kind, training and number of neighbours."""
    for record in list_models():
        alike = all(getattr(record, name) == getattr(wanted, name) for name in _COMPARED)
        if alike and (record.file is None) == (wanted.file is None):
            return record.name
    return None


_COMPARED = ("kind", "max_neighbors", "level_of_theory", "takes_charge")
