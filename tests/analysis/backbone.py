"""A poly-alanine backbone grown atom by atom from its torsions, so that phi and psi are known."""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

_LENGTHS = {"N": 0.1458, "CA": 0.1525, "C": 0.1329}  # nm, to the next atom: N-CA, CA-C, C-N
_ANGLES = {"N": 121.7, "CA": 111.0, "C": 117.2}  # degrees, at that atom


def grow_backbone(phi: float, psi: float, residues: int = 16) -> md.Trajectory:
    """One frame of N, CA, C, O of alanines with all torsions phi, psi [degrees] and trans peptide bonds."""
    names = ["N", "CA", "C"] * residues
    torsions = {"N": psi, "CA": 180.0, "C": phi}  # about the bond before the last one, by the atom that is placed
    positions = [np.zeros(3), np.array([_LENGTHS["N"], 0.0, 0.0])]
    turn = np.radians(180.0 - _ANGLES["CA"])
    positions.append(positions[1] + _LENGTHS["CA"] * np.array([np.cos(turn), np.sin(turn), 0.0]))
    for i in range(3, 3 * residues + 1):
        before, name = names[i - 1], names[i % 3]
        positions.append(extend(positions[-3:], _LENGTHS[before], _ANGLES[before], torsions[name]))
    topology, xyz = md.Topology(), []
    chain = topology.add_chain()
    for i in range(residues):
        residue = topology.add_residue("ALA", chain)
        for name in ("N", "CA", "C", "O"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
        oxygen = extend([positions[3 * i + 3], positions[3 * i + 1], positions[3 * i + 2]], 0.123, 120.5, 180.0)
        xyz += [*positions[3 * i : 3 * i + 3], oxygen]
    topology.create_standard_bonds()
    return md.Trajectory(np.array(xyz)[None], topology)


def extend(last: list[NDArray[np.float64]], length: float, angle: float, torsion: float) -> NDArray[np.float64]:
    """The place at a bond length, angle and torsion [degrees] from the last three positions."""
    bend, turn = np.radians(180.0 - angle), np.radians(torsion)
    along = (last[2] - last[1]) / np.linalg.norm(last[2] - last[1])
    normal = np.cross(last[1] - last[0], along)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, along)
    local = np.array([np.cos(bend), np.sin(bend) * np.cos(turn), np.sin(bend) * np.sin(turn)])
    return last[2] + length * (local[0] * along + local[1] * across + local[2] * normal)
