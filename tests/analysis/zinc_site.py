"""A zinc site made by hand: three ammonias and a water in a tetrahedron, a second water, a carboxylate, CO2."""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

CORNERS = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]) / np.sqrt(3.0)
BOUND_NM = 0.2
ATOMS = (
    "ZN ZN Zn|HIS ND1 N|HIS NE2 N|HIS ND1 N|HOH O O|HOH H1 H|HOH H2 H|HOH O O|HOH H1 H|HOH H2 H|"
    "GLU CD C|GLU OE1 O|GLU OE2 O|CO2 C C|CO2 O1 O|CO2 O2 O"
)
ZINC, OXYGEN, PROTON, SECOND, CARBON, ACID, DIOXIDE = 0, 4, 5, 7, 10, 11, 13


def make_site(frames: int = 1, frame_ps: float = 0.1) -> md.Trajectory:
    """A trajectory in which nothing moves; 3 nm around the site there is room."""
    topology, last, residue, number = md.Topology(), "", None, 0
    chain = topology.add_chain()
    for row in ATOMS.split("|"):
        name, atom, element = row.split()
        if residue is None or name != last or name == "HIS" or (name == "HOH" and atom == "O"):
            number += 1
            residue = topology.add_residue(name, chain, resSeq=number)
        topology.add_atom(atom, md.element.Element.getBySymbol(element), residue)
        last = name
    xyz = np.repeat(_place()[None], frames, axis=0)
    topology.create_standard_bonds()
    for first, second in ((OXYGEN, 5), (OXYGEN, 6), (SECOND, 8), (SECOND, 9), (CARBON, 11), (CARBON, 12)):
        topology.add_bond(topology.atom(first), topology.atom(second))
    return md.Trajectory(xyz, topology, time=frame_ps * np.arange(frames))


def _place() -> NDArray[np.float64]:
    ligands = BOUND_NM * CORNERS
    out = CORNERS[3]
    side = np.cross(out, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    bound = ligands[3] + 0.096 * np.array([0.6 * out + 0.8 * side, 0.6 * out - 0.8 * side])
    line = 0.6 * out + 0.8 * side
    second = ligands[3] + 0.27 * line  # accepts the first hydrogen of the bound water
    normal = np.cross(out, side)
    far = second + 0.096 * np.array([0.6 * line + 0.8 * normal, 0.6 * line - 0.8 * normal])
    acid = second + np.array([0.8, 0.0, 0.0]) + np.array([[0.0, 0.0, 0.0], [-0.06, 0.11, 0.0], [-0.06, -0.11, 0.0]])
    dioxide = np.array([0.0, 0.0, 0.42]) + np.array([[0.0, 0.0, 0.0], [0.116, 0.0, 0.0], [-0.116, 0.0, 0.0]])
    return np.concatenate([np.zeros((1, 3)), ligands, bound, second[None], far, acid, dioxide])


def slide(trajectory: md.Trajectory, atom: int, target: NDArray[np.float64], frames: slice) -> None:
    """Put an atom at a place [nm] in some frames."""
    trajectory.xyz[frames, atom] = target
