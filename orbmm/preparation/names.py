"""Names in a structure file that no file of ours could hold."""

from __future__ import annotations

from openmm import app

from orbmm.plain_text import is_control


def find_unwritable_name(topology: app.Topology) -> str | None:
    """Return the first name or number in a topology with a control character; None where there is none.

    A line end in it, which mmCIF can hold, would end a line of each PDB file that is written.
    """
    for residue in topology.residues():
        names = (
            residue.chain.id,
            residue.name,
            residue.id,
            residue.insertionCode,
            *(atom.name for atom in residue.atoms()),
        )
        for name in names:
            if any(is_control(character) for character in name):
                return name
    return None
