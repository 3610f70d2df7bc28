"""Check the box of a topology: a placeholder is no box, and no box is denser than diamond."""

from __future__ import annotations

import numpy as np
from openmm import app, unit

from orbmm.errors import StructureError

# Diamond has the least of all solids at ordinary pressure, 5.67 Å³ an atom; water and protein have 10.
LEAST_VOLUME_PER_ATOM_ANGSTROM3 = 4.0


def drop_placeholder_box(topology: app.Topology) -> None:
    """Remove a placeholder box from a topology."""
    if has_placeholder_box(topology):
        topology.setPeriodicBoxVectors(None)


def has_placeholder_box(topology: app.Topology) -> bool:
    """Return True for a box of 1 x 1 x 1 Å, as PDB files without a crystal have it (NMR, predicted structures)."""
    box = _read_box(topology)
    return box is not None and np.allclose(box, np.eye(3), atol=1e-6)


def refuse_overfull_box(topology: app.Topology, subject: str) -> None:
    """Raise StructureError for a box that cannot hold the atoms of the topology. subject: begins the sentence"""
    box = _read_box(topology)
    if box is None:
        return
    atoms = topology.getNumAtoms()
    per_atom = float(abs(np.linalg.det(box))) / max(atoms, 1)
    if per_atom < LEAST_VOLUME_PER_ATOM_ANGSTROM3:
        edges = " x ".join(f"{length:.2f}" for length in np.linalg.norm(box, axis=1))
        raise StructureError(
            f"{subject}: a box of {edges} Å leaves {per_atom:.2g} Å³ to each of {atoms} atoms, where water has 10 and "
            "diamond 5.7: smaller than its molecules; correct the box (CRYST1), or build one with `orbmm prepare`"
        )


def _read_box(topology: app.Topology) -> np.ndarray | None:
    """Return the box vectors as rows (3, 3) [Å], None without a box."""
    vectors = topology.getPeriodicBoxVectors()
    return None if vectors is None else np.array(vectors.value_in_unit(unit.angstrom))
