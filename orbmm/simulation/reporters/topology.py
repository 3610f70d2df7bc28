"""Write the atoms at the start of a phase: all of them, and those of the trajectory if that holds some.

The files are topology.pdb and trajectory.pdb, or .cif where a name or a number does not fit the columns of a PDB file.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from openmm import app, unit

from orbmm.files import write_file
from orbmm.preparation.write import choose_suffix, format_structure
from orbmm.run_files.layout import TOPOLOGY_SUFFIXES, RunFolder
from orbmm.simulation.dynamics.frame import State
from orbmm.simulation.start.selection import select_atoms


def write_topologies(folder: RunFolder, topology: app.Topology, frame_atoms: str, state: State) -> None:
    """Write the topology files that are needed to read the trajectory, with the current box."""
    topology = copy.copy(topology)
    if state.box is not None:
        topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    _write(folder.topology, topology, state.positions)
    if frame_atoms != "all":
        atoms = select_atoms(topology, frame_atoms)
        _write(folder.frame_topology, keep_atoms(topology, atoms), state.positions[atoms])


def keep_atoms(topology: app.Topology, atoms: np.ndarray) -> app.Topology:
    """Return the topology of only some atoms (A,), in their order."""
    modeller = app.Modeller(topology, np.zeros((topology.getNumAtoms(), 3)) * unit.nanometer)
    kept = set(atoms.tolist())
    modeller.delete([atom for atom in topology.atoms() if atom.index not in kept])
    return modeller.topology


def _write(path: Path, topology: app.Topology, positions: np.ndarray) -> None:
    """Write a topology beside this path, with the suffix of a format that all its names and numbers fit."""
    suffix = choose_suffix(topology)
    write_file(path.with_suffix(suffix), format_structure(topology, positions * unit.nanometer, suffix).encode())
    for other in TOPOLOGY_SUFFIXES:
        if other != suffix:  # of a version that wrote PDB files whatever the names
            path.with_suffix(other).unlink(missing_ok=True)
