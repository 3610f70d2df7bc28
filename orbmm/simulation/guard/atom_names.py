"""Atoms as a sentence names them: index, name and residue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openmm import app

_NAMED = 3


def name_atoms(topology: app.Topology, indices: np.ndarray | Sequence[int]) -> str:
    """The first few atoms by name and residue, and how many more there are."""
    if len(indices) == topology.getNumAtoms():
        return "all atoms"
    wanted = [int(index) for index in indices[:_NAMED]]
    found = {atom.index: atom for atom in topology.atoms() if atom.index in wanted}
    names = [f"{index} ({_describe(found[index])})" for index in wanted]
    more = len(indices) - len(names)
    return f"atom{'s' if len(indices) > 1 else ''} {', '.join(names)}{f' and {more} more' if more else ''}"


def _describe(atom: app.topology.Atom) -> str:
    return f"{atom.name} of {atom.residue.name} {atom.residue.id}"
