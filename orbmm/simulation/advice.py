"""Compose the sentences of a run that cannot go on: what happened, what was kept, what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord, list_models
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.errors import DiskFull, OutOfMemory, RunError
from orbmm.files import NO_ROOM
from orbmm.forces.failure import is_out_of_memory
from orbmm.plain_text import quote_command
from orbmm.run_files.layout import RunFolder
from orbmm.settings import ModelSettings

_FEW_EDGES = 1024
"""Edges in a small block, which needs a few MB. On a CPU the blocks are already as small by default."""

_UNSTABLE = (
    "Try a smaller timestep_fs, a higher friction_per_ps, minimize = true, or another model; "
    "limits are set in [guard], where allow_reactions = true lets bonds break"
)


def advise_unstable(fault: str, kept: str) -> str:
    """Return the sentences of an unstable run. fault: step and cause; kept: the files that show it"""
    return f"{fault}; {kept}. {_UNSTABLE}"


def describe_kept(has_checkpoint: bool) -> str:
    """Return what a run that ended can be continued from."""
    return "the last good checkpoint is kept" if has_checkpoint else "there is no checkpoint"


@contextmanager
def explain_disk_errors(folder: Path, when: str = "", record: Path | None = None) -> Iterator[None]:
    """Turn a full disk or a forbidden write into DiskFull or RunError.

    when: the step as a text, if known; record: run.json of a run that starts, without which it cannot be resumed
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        sentence = f"cannot write {where}{when}: {error.strerror or error}"
        begun = record is None or record.is_file()
        if error.errno in NO_ROOM:
            way = "continue with `orbmm resume`" if begun else "start the run again: nothing was computed yet"
            raise DiskFull(f"{sentence}; free disk space and {way}") from error
        if not begun:
            raise RunError(f"{sentence}; start the run again in a folder that can be written") from error
        raise RunError(f"{sentence}; the checkpoints are kept: continue with `orbmm resume`") from error


@contextmanager
def explain_memory_errors(folder: RunFolder | None, model: ModelSettings) -> Iterator[None]:
    """Turn any out-of-memory error into OutOfMemory with advice how to continue the run with less memory.

    folder: of the run; None before it exists
    """
    try:
        yield
    except OutOfMemory as error:
        raise OutOfMemory(f"{error}; to make it fit, {name_way_out(folder, model)}") from error
    except (RuntimeError, MemoryError) as error:  # torch, NumPy
        if not isinstance(error, MemoryError) and not is_out_of_memory(str(error)):
            raise
        sentence = " ".join(str(error).split()) or "Python could not allocate memory"  # MemoryError has no message
        raise OutOfMemory(f"out of memory: {sentence}; to make it fit, {name_way_out(folder, model)}") from error


def name_way_out(folder: RunFolder | None, model: ModelSettings) -> str:
    """Return the advice that changes the run least: a setting that a resumed run may change, or else a new run."""
    gentle = _name_gentle_setting(model)
    if gentle is None:
        return f"start a new run with {_name_smaller_system(model)}"
    if folder is None:
        return f"set {gentle}, in [model] and run again"
    command = quote_command("orbmm", "resume", "--force-new-settings", folder.path)
    return f"set {gentle}, in [model] of {folder.settings}, and `{command}`"


def _name_gentle_setting(model: ModelSettings) -> str | None:
    """Return a setting that needs less memory and hardly changes the forces; None if there is none left."""
    if model.compile:
        return "compile = false, which uses smaller blocks of edges and gives the same forces except for rounding"
    if resolve_record(model.name, model.weights).kind == "conservative" and model.memory != "lean":
        return 'memory = "lean", which gives the same forces more slowly'
    if not _runs_on_cpu(model.device) and (model.edges_per_block is None or model.edges_per_block > _FEW_EDGES):
        return f"edges_per_block = {_FEW_EDGES}, which gives the same forces more slowly"
    if model.precision == "float64":
        return 'precision = "float32-high", which takes half the memory'
    return None


def _runs_on_cpu(device: str) -> bool:
    from orbmm.model.precision import find_device  # imports torch, which a run has already loaded

    return device == "cpu" or (device == "auto" and find_device(device).type == "cpu")


def _name_smaller_system(model: ModelSettings) -> str:
    record = resolve_record(model.name, model.weights)
    for wanted in (
        dataclasses.replace(record, max_neighbors=20),
        dataclasses.replace(record, kind="direct"),
        dataclasses.replace(record, kind="direct", max_neighbors=20),
    ):
        smaller = _find_like(wanted) if wanted != record else None
        if smaller is not None:
            return f'name = "{smaller}" in [model], which needs less, or with a smaller box (padding_nm)'
    return "a smaller box (padding_nm of [system]) or on a device with more memory"


def _find_like(wanted: CheckpointRecord) -> str | None:
    """Return the name of a published model with this kind, training and number of neighbours, or None."""
    for record in list_models():
        alike = all(getattr(record, name) == getattr(wanted, name) for name in _COMPARED)
        if alike and (record.file is None) == (wanted.file is None):
            return record.name
    return None


_COMPARED = ("kind", "max_neighbors", "level_of_theory", "takes_charge")
