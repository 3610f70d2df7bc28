"""Write the last good frames and the first faulty frame of an unstable run to files."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from openmm import app, unit

from orbmm.errors import ForceError, UnstableRun
from orbmm.files import make_folder, write_file
from orbmm.plain_text import guard_cell
from orbmm.preparation.write import choose_suffix, format_structure
from orbmm.run_files.layout import REASON_NAME
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.guard.guard import Guard

_LOG = logging.getLogger(__name__)
_LARGEST_NM = 99.0  # of a coordinate in a PDB file; NaN is not below it either


def trace_fault(dynamics: Dynamics, guard: Guard, snapshot: bytes, last_step: int) -> str | None:
    """Repeat the steps since a snapshot one by one, with their forces; return the guard's sentence about the fault.

    The guard then holds the frames up to the fault. None if the fault does not occur again, which can happen if forces
    are not exactly reproducible.
    """
    dynamics.context.loadCheckpoint(snapshot)
    try:
        guard.check(dynamics.observe(energy=True))  # the snapshot itself may have been checked without forces
        while dynamics.step < last_step:
            dynamics.advance(1)
            guard.check(dynamics.observe(energy=True))
    except UnstableRun as error:
        return str(error)
    except ForceError as error:
        _LOG.warning("the steps before the fault cannot be repeated: %s", error)
    return None


def write_rescue(folder: Path, guard: Guard, sentence: str) -> None:
    """Write the last good frames, the faulty frame, and the sentence about the fault.

    Raises OSError if the disk is full.
    """
    make_folder(folder.parent)
    make_folder(folder)
    write_file(folder / REASON_NAME, (sentence + "\n").encode())
    for frame in guard.good:
        _write_frame(folder, "good", guard.topology, frame)
    if guard.fault is not None:
        _write_frame(folder, "fault", guard.topology, guard.fault)


def retire_reasons(rescue: Path) -> None:
    """Rename the files with sentences of earlier faults when a run is resumed, because it is no longer stopped."""
    for reason in rescue.glob(f"*/{REASON_NAME}"):
        if not reason.parent.is_symlink():
            reason.replace(reason.with_name(f"earlier-{REASON_NAME}"))


def _write_frame(folder: Path, kind: str, topology: app.Topology, frame: Frame) -> None:
    """Write a PDB or mmCIF file, if the coordinates fit into one, and a table of the forces, if they are known."""
    if np.abs(frame.positions).max() < _LARGEST_NM:
        suffix = choose_suffix(topology)
        text = format_structure(topology, frame.positions * unit.nanometer, suffix)
        write_file(folder / f"{kind}-{frame.step:012d}{suffix}", text.encode())
    if frame.forces is not None:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(_list_rows(topology, frame.forces))
        write_file(folder / f"{kind}-{frame.step:012d}-forces.csv", table.getvalue().encode())


def _list_rows(topology: app.Topology, forces: np.ndarray) -> Iterator[list[object]]:
    yield ["atom", "name", "residue", "x_kJ_mol_nm", "y_kJ_mol_nm", "z_kJ_mol_nm"]
    for atom, force in zip(topology.atoms(), forces, strict=True):
        residue = f"{atom.residue.name} {atom.residue.id}"
        yield [atom.index, guard_cell(atom.name), guard_cell(residue), *(f"{component:.6g}" for component in force)]
