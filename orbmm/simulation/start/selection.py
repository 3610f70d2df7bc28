"""Select atoms with the selection language of mdtraj and a few more names; describe atoms in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

import mdtraj
import numpy as np
from openmm import app

from orbmm.errors import RunError, quote_reason
from orbmm.kinds import find_solute, is_hydrogen

_NAMED = 3


def name_atoms(topology: app.Topology, indices: np.ndarray | Sequence[int]) -> str:
    """Return the first few atoms by name and residue, and the number of the others, as a text for messages."""
    if len(indices) == topology.getNumAtoms():
        return "all atoms"
    wanted = [int(index) for index in indices[:_NAMED]]
    found = {atom.index: atom for atom in topology.atoms() if atom.index in wanted}
    names = [f"{index} ({_describe(found[index])})" for index in wanted]
    more = len(indices) - len(names)
    return f"atom{'s' if len(indices) > 1 else ''} {', '.join(names)}{f' and {more} more' if more else ''}"


def _describe(atom: app.topology.Atom) -> str:
    return f"{atom.name} of {atom.residue.name} {atom.residue.id}"


def select_atoms(topology: app.Topology, words: str) -> np.ndarray:
    """Return the indices (A,) of the selected atoms, in their order.

    words: "all"; "solute" (everything except water and salt ions; metals are included); "solute heavy" (without
    hydrogens); anything else is an mdtraj selection, such as "backbone" or "not water"
    Raises RunError for words that cannot be read or select no atom.
    """
    known = mdtraj.Topology.from_openmm(topology)
    if words in ("solute", "solute heavy"):
        chosen = find_solute(known)
        if words == "solute heavy":
            chosen = chosen[[not is_hydrogen(known.atom(index)) for index in chosen]]
    else:
        try:
            chosen = known.select(words)
        except (
            ValueError,
            SyntaxError,
            AttributeError,
            TypeError,
            KeyError,
            NameError,
            re.error,
            RecursionError,
        ) as error:
            raise RunError(
                f"the selection '{words}' cannot be read{quote_reason(error)}; write all, solute, solute heavy, or a "
                "selection of mdtraj such as: protein and name CA"
            ) from error
    if not len(chosen):
        raise RunError(f"the selection '{words}' chooses no atom of this structure")
    return np.asarray(chosen, dtype=np.intp)


def find_atom(topology: app.Topology, name: str) -> int:
    """Return the index of an atom by chain:residue:atom, such as A:94:NE2.

    Raises RunError if there is no such atom, or more than one.
    """
    chain, residue, wanted = name.split(":")
    found = [
        atom.index
        for atom in topology.atoms()
        if atom.name == wanted
        and atom.residue.chain.id == chain
        and atom.residue.id + atom.residue.insertionCode.strip() == residue
    ]
    if len(found) != 1:
        raise RunError(f"{len(found) or 'no'} atoms are called {name} (chain:residue:atom); see the structure file")
    return found[0]
