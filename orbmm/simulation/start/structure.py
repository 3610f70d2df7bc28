"""Read the start of a run: atoms, positions, box, and velocities if a state file has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openmm import app, unit
from openmm.app.internal.pdbx.reader import PdbxReader as pdbx  # where its two errors are defined

from orbmm.errors import RunError, StructureError, quote_reason
from orbmm.forces.box import drop_placeholder_box, refuse_overfull_box
from orbmm.plain_text import describe_value
from orbmm.preparation.names import find_unwritable_name
from orbmm.run_files.state_xml import read_state
from orbmm.settings.system import SystemSettings
from orbmm.simulation.start.box import refuse_impossible_box

_READERS = {".pdb": app.PDBFile, ".ent": app.PDBFile, ".cif": app.PDBxFile, ".mmcif": app.PDBxFile}
# Errors of OpenMM's readers for damaged files whose messages are about their code, not about the file.
_MUTE_ERRORS = (KeyError, IndexError, TypeError, AttributeError, ArithmeticError, pdbx.PdbxError)


@dataclass(frozen=True)
class Structure:
    """Positions (N, 3) [nm] and velocities (N, 3) [nm/ps] or None; the box is in the topology."""

    topology: app.Topology
    positions: np.ndarray
    velocities: np.ndarray | None = None


def read_start(system: SystemSettings) -> Structure:
    """Read the prepared structure and, if there is one, the state that replaces its positions, velocities and box.

    Raises RunError for a missing file, StructureError for one that cannot be used.
    """
    if system.structure is None:
        raise RunError(f"[system] of {system.name} names no structure; build one with `orbmm prepare`")
    start = _read_structure(system.structure)
    drop_placeholder_box(start.topology)
    if system.state is not None:
        start = _apply_state(start, system.state)
    refuse_overfull_box(start.topology, str(system.state or system.structure))
    return start


def _read_structure(path: Path) -> Structure:
    _require_file(path, "structure")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise StructureError(f"{path}: the suffix must be one of {', '.join(_READERS)}")
    refuse_impossible_box(path)
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:  # old files may have other encodings
            structure = reader(stream)
    except (*_MUTE_ERRORS, ValueError, pdbx.SyntaxError) as error:
        raise StructureError(
            f"{path}: no atoms can be read from this {path.suffix.lower()} file{_quote_reason(error)}; "
            "is the file complete, and of that format?"
        ) from error
    if structure.topology.getNumAtoms() == 0:
        raise StructureError(f"{path}: holds no atoms")
    name = find_unwritable_name(structure.topology)
    if name is not None:
        raise StructureError(f"{path}: the name {describe_value(name)} holds a control character; give another")
    positions = _strip_unit(structure.getPositions(asNumpy=True), unit.nanometer)
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        raise StructureError(f"{path}: the coordinates of atom {wrong[0]} (counted from 0) are not finite numbers")
    return Structure(structure.topology, positions)


def _quote_reason(error: Exception) -> str:
    """Return OpenMM's message about the file, such as " (Misaligned residue name)"; '' if it is about its code."""
    if isinstance(error, _MUTE_ERRORS):
        return ""
    text = f"line {error.lineNumber}: {error.text}" if isinstance(error, pdbx.SyntaxError) else str(error)
    return quote_reason(" ".join(text.split()))


def _apply_state(start: Structure, path: Path) -> Structure:
    """Return the start with positions, velocities and box of a state XML. The box is set in the topology of `start`."""
    _require_file(path, "state")
    state = read_state(path)
    if state.positions is None:
        raise StructureError(f"{path}: holds no positions; save them with simulation.saveState")
    if len(state.positions) != len(start.positions):
        raise StructureError(
            f"{path}: holds {len(state.positions)} atoms, but the structure has {len(start.positions)}"
        )
    if state.velocities is not None and len(state.velocities) != len(state.positions):
        raise StructureError(f"{path}: holds {len(state.velocities)} velocities for {len(state.positions)} atoms")
    if start.topology.getPeriodicBoxVectors() is not None and state.box is not None:
        start.topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    return Structure(start.topology, state.positions, state.velocities)  # without velocities they are drawn


def _require_file(path: Path, what: str) -> None:
    if path.is_dir():
        raise RunError(f"{what} {path} is a folder; name the file in it")
    if not path.is_file():
        raise RunError(f"{what} file {path} does not exist; `orbmm prepare` builds a box, or correct the path")


def _strip_unit(quantity: unit.Quantity, wanted: unit.Unit) -> np.ndarray:
    return np.array(quantity.value_in_unit(wanted), dtype=np.float64)
