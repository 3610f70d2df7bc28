"""Which residues are mirror images of what they should be."""

from __future__ import annotations

import numpy as np
from openmm import app, unit

from orbmm.preparation.residues import is_polymer, label_residue


def list_mirrored_residues(topology: app.Topology, positions: unit.Quantity) -> tuple[str, ...]:
    """The residues whose CB is on the side of a D-amino acid, such as "ALA A:7".

    Left-handed is (N - CA) x (C - CA) . (CB - CA) > 0: seen from the hydrogen, CO, R and N follow each other clockwise.
    """
    places = np.array(positions.value_in_unit(unit.angstrom))
    mirrored = []
    for residue in topology.residues():
        atoms = {atom.name: places[atom.index] for atom in residue.atoms()}
        if not is_polymer(residue) or not {"N", "CA", "C", "CB"} <= atoms.keys():
            continue
        to_nitrogen, to_carbonyl, to_beta = (atoms[name] - atoms["CA"] for name in ("N", "C", "CB"))
        if np.cross(to_nitrogen, to_carbonyl) @ to_beta < 0:
            mirrored.append(label_residue(residue))
    return tuple(mirrored)
