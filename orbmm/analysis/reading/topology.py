"""The topology of a structure file, held against its positions: elements of ions, bonds by distance, chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.pairs import find_pairs, find_widths, shorten
from orbmm.analysis.reading.dcd import is_box_possible
from orbmm.errors import AnalysisError
from orbmm.kinds import HYDROGENS, NON_METALS, find_ion_symbol

# Covalent radii [nm] of Cordero et al., Dalton Trans. 2832 (2008).
_RADII_NM = {
    "H": 0.031, "D": 0.031, "B": 0.084, "C": 0.076, "N": 0.071, "O": 0.066, "F": 0.057, "Si": 0.111, "P": 0.107,
    "S": 0.105, "Cl": 0.102, "Se": 0.120, "Br": 0.120, "I": 0.139,
}  # fmt: skip
_FOUND_BELOW = 1.2  # times the sum of the radii: C-C 1.82 Å, C-N 1.76 Å, O-H 1.16 Å, S-S 2.52 Å
_LONGEST, _SHORTEST = 1.7, 0.5  # a bond of the topology beyond these is none: C-N 2.50 Å
_LINKS = ({"C", "N"}, {"O3'", "P"})
_MOST_WRONG = 0.5  # of the bonds; more says that the positions are wrong

Bond = tuple[int, int]


@dataclass(frozen=True)
class MatchedTopology:
    """start: one frame, its topology matched. notes: one sentence for each kind of change, empty without any."""

    start: md.Trajectory
    notes: tuple[str, ...]


def match_topology(start: md.Trajectory) -> MatchedTopology:
    """Return one frame with the topology that its positions have; it is the same object where nothing was amiss.

    Ions get the element of their name. Bonds of the topology that are far too long or short are dropped, and a chain is
    parted where such a bond was a link of its polymer. Bonds of residues that the topology does not know are found by
    distance. Raises AnalysisError when most bonds of the topology are none: then the positions are not those of it.
    """
    topology = start.topology
    symbols = _name_elements(topology)
    bonds = _Bonds(start, symbols)
    dropped = bonds.find_wrong()
    if len(dropped) > _MOST_WRONG * max(1, len(bonds.stated)) and len(dropped) > 1:
        raise AnalysisError(
            f"the structure has {len(dropped)} bonds of {len(bonds.stated)} that are far too long or far too short "
            f"(first {_name(topology, dropped[0])}); are its coordinates in another unit, or of other atoms?"
        )
    found = bonds.find_missing(set(dropped))
    changed = [i for i, atom in enumerate(topology.atoms) if atom.element is None or atom.element.symbol != symbols[i]]
    if not (changed or dropped or found):
        return MatchedTopology(start, ())
    breaks = {bond for bond in dropped if _is_link(topology, bond)}
    rebuilt = _rebuild(topology, symbols, set(dropped), found, breaks)
    boxes = (start.unitcell_lengths, start.unitcell_angles)
    notes = _describe(topology, symbols, changed, dropped, found)
    return MatchedTopology(md.Trajectory(start.xyz, rebuilt, start.time, *boxes), notes)


def is_torn(start: md.Trajectory) -> bool:
    """Tell whether bonds of the topology are far too long or short in a frame that has no box."""
    return start.unitcell_lengths is None and bool(_Bonds(start, _name_elements(start.topology)).find_wrong())


class _Bonds:
    """The bonds of a topology beside the distances at the start."""

    def __init__(self, start: md.Trajectory, symbols: list[str]) -> None:
        self.topology, self.symbols = start.topology, symbols
        self.positions, self.box = start.xyz[0].astype(float), _find_box(start)
        self.radii = np.array([_RADII_NM.get(symbol, np.nan) for symbol in symbols])  # NaN for metals
        pairs = {(min(a.index, b.index), max(a.index, b.index)) for a, b in self.topology.bonds}
        self.stated = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)

    def find_wrong(self) -> list[Bond]:
        """Return the bonds of the topology that are far too long or too short; those to metals are not judged."""
        first, second = self.stated.T
        span = self.positions[second] - self.positions[first]
        lengths = np.linalg.norm(shorten(span, self.box), axis=1)
        ratio = lengths / (self.radii[first] + self.radii[second])
        wrong = (ratio > _LONGEST) | (ratio < _SHORTEST)
        return [(int(a), int(b)) for a, b in self.stated[wrong]]

    def find_missing(self, dropped: set[Bond]) -> list[Bond]:
        """Return the bonds by distance of residues in which an atom has no bond, though there are others to bond to."""
        kept = {(int(a), int(b)) for a, b in self.stated} - dropped
        bonded = np.zeros(len(self.symbols), dtype=bool)
        for a, b in kept:
            if {self.symbols[a], self.symbols[b]} <= NON_METALS:
                bonded[[a, b]] = True
        known = np.isfinite(self.radii)
        unknown = [
            [atom.index for atom in residue.atoms if known[atom.index]]
            for residue in self.topology.residues
            if residue.n_atoms > 1 and any(known[atom.index] and not bonded[atom.index] for atom in residue.atoms)
        ]
        chosen = np.array(sorted(index for atoms in unknown for index in atoms), dtype=np.int64)
        return sorted(self._find_near(chosen, np.flatnonzero(known), bonded) - kept) if len(chosen) else []

    def _find_near(self, chosen: NDArray[np.int64], others: NDArray[np.int64], bonded: NDArray[np.bool_]) -> set[Bond]:
        """Return pairs of a chosen atom and another at the distance of a bond; a hydrogen has the nearest alone."""
        reach = _FOUND_BELOW * (self.radii[chosen].max() + np.nanmax(self.radii))
        found = find_pairs(self.positions[chosen], self.positions[others], self.box, float(reach))
        first, second = chosen[found.first], others[found.second]
        ratio = found.lengths / (self.radii[first] + self.radii[second])
        light = np.isin(self.symbols, HYDROGENS)
        near = (ratio < _FOUND_BELOW) & (ratio > _SHORTEST) & ~(light[first] & light[second])
        taken, pairs = light & bonded, set()
        for row in np.flatnonzero(near)[np.argsort(found.lengths[near], kind="stable")].tolist():
            a, b = sorted((int(first[row]), int(second[row])))
            if taken[a] or taken[b] or (a, b) in pairs:
                continue
            taken[[a, b]] = light[[a, b]]
            pairs.add((a, b))
        return pairs


def _find_box(start: md.Trajectory) -> NDArray[np.float64] | None:
    """Return the box (3, 3) [nm] of the frame, None without one that bonds fit into."""
    lengths, angles = start.unitcell_lengths, start.unitcell_angles
    if lengths is None or angles is None or not is_box_possible(lengths, angles)[0]:
        return None
    box = start.unitcell_vectors[0].astype(float)
    return box if find_widths(box[None]).min() > 2.0 * _FOUND_BELOW * 2.0 * max(_RADII_NM.values()) else None


def _name_elements(topology: md.Topology) -> list[str]:
    """Return the element of each atom: of an ion the one that its residue is named for, VS where it has none.

    Sodium among carbons is nitrogen.
    """
    symbols = [atom.element.symbol if atom.element is not None else "VS" for atom in topology.atoms]
    for residue in topology.residues:
        symbol = find_ion_symbol(residue)
        if symbol is not None:
            symbols[residue.atom(0).index] = symbol
        for atom in residue.atoms if residue.n_atoms > 1 else ():  # mdtraj takes NA of a haem for sodium
            if symbols[atom.index] == "Na" and any(symbols[other.index] == "C" for other in residue.atoms):
                symbols[atom.index] = "N"
    return symbols


def _is_link(topology: md.Topology, bond: Bond) -> bool:
    """Tell whether a bond is the link of a polymer between a residue and the next one of its chain."""
    first, second = (topology.atom(index) for index in bond)
    follows = abs(first.residue.index - second.residue.index) == 1 and first.residue.chain is second.residue.chain
    return follows and {first.name, second.name} in _LINKS


def _rebuild(
    topology: md.Topology, symbols: list[str], dropped: set[Bond], found: Iterable[Bond], breaks: set[Bond]
) -> md.Topology:
    """Return the topology with these elements, without some bonds and with others, new chains after broken links."""
    begins = {max(topology.atom(index).residue.index for index in bond) for bond in breaks}
    rebuilt = md.Topology()
    for chain in topology.chains:
        current = rebuilt.add_chain(chain.chain_id)
        for residue in chain.residues:
            if residue.index in begins:
                current = rebuilt.add_chain()
            copy = rebuilt.add_residue(residue.name, current, residue.resSeq, residue.segment_id)
            for atom in residue.atoms:
                element = md.element.Element.getBySymbol(symbols[atom.index])
                rebuilt.add_atom(atom.name, element, copy, serial=atom.serial)
    atoms = list(rebuilt.atoms)
    for bond in topology.bonds:
        first, second = sorted((bond[0].index, bond[1].index))
        if (first, second) not in dropped:
            rebuilt.add_bond(atoms[first], atoms[second], type=bond.type, order=bond.order)
    for first, second in found:
        rebuilt.add_bond(atoms[first], atoms[second])
    return rebuilt


def _describe(
    topology: md.Topology, symbols: list[str], changed: list[int], dropped: list[Bond], found: list[Bond]
) -> tuple[str, ...]:
    notes = []
    if changed:
        kinds = dict.fromkeys(f"{topology.atom(i).residue.name} as {symbols[i]}" for i in changed)
        notes.append(f"elements by the names of residues: {', '.join(kinds)} ({len(changed)} atoms)")
    if dropped:
        notes.append(
            f"{_count(dropped)} of the topology left out, far too long or short at the start "
            f"(first {_name(topology, dropped[0])})"
        )
    if found:
        notes.append(f"{_count(found)} that the topology lacks found by distance (first {_name(topology, found[0])})")
    return tuple(notes)


def _count(bonds: list[Bond]) -> str:
    return f"{len(bonds)} bond{'s' if len(bonds) > 1 else ''}"


def _name(topology: md.Topology, bond: Bond) -> str:
    return " ".join(str(topology.atom(index)) for index in bond)
