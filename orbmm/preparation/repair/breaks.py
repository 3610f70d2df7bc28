"""Find the ends of chains: at a gap, or before water, ions and ligands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import pairwise

import numpy as np
from openmm import app, unit
from pdbfixer import PDBFixer
from pdbfixer.pdbfixer import dnaResidues, rnaResidues

from orbmm.errors import PreparationError
from orbmm.preparation.repair.caps import cap_lone_residues
from orbmm.preparation.residues import UNIDENTIFIED_NAMES, is_polymer, key_residue, label_residue

LONGEST_BOND_ANGSTROM = 2.0  # of a polymer: C-N is 1.33 Å, O3'-P 1.61 Å
_LEAST_GAP_ANGSTROM = 2.5  # nearer, two atoms are neither bonded nor apart
_FARTHEST_NEIGHBORS_ANGSTROM = 4.2  # nearest atoms of neighbours whose C or N is missing
_NUCLEOTIDES = frozenset({*dnaResidues, *rnaResidues})
_PHOSPHATE = frozenset({"P", "OP1", "OP2", "OP3"})
_JOINTS = (("C", "N"), ("O3'", "P"))


def refuse_unknown_members(fixer: PDBFixer, gone: Collection[app.topology.Residue]) -> None:
    """Raise PreparationError where a residue that is to go is joined to a polymer: without it the chain is cut.

    gone: residues that are neither known nor kept
    """
    positions = _read_positions(fixer)
    for before, after in _iterate_neighbors(fixer.topology):
        unknown = next((residue for residue in (before, after) if residue in gone), None)
        if unknown is None or unknown.name in UNIDENTIFIED_NAMES or not (is_polymer(before) or is_polymer(after)):
            continue
        if _is_joined(before, after, positions):
            raise PreparationError(
                f"{label_residue(unknown)} belongs to a chain, but is no residue that amber14 knows: rename it to the "
                "residue it may be replaced by (MODRES record), or take it out of the file to end the chain there"
            )


def refuse_scattered_residues(fixer: PDBFixer) -> None:
    """Raise PreparationError where the atoms of one residue are in several places of the file."""
    positions = _read_positions(fixer)
    pieces: dict[tuple[str, str], list[app.topology.Residue]] = defaultdict(list)
    for residue in filter(is_polymer, fixer.topology.residues()):
        for other in pieces[residue.name, key_residue(residue)]:
            shared = {atom.name for atom in residue.atoms()} & {atom.name for atom in other.atoms()}
            if not shared and _measure_nearest(other, residue, positions) <= _FARTHEST_NEIGHBORS_ANGSTROM:
                raise PreparationError(
                    f"the atoms of {label_residue(residue)} are in two places of the file: move its lines to one place"
                )
        pieces[residue.name, key_residue(residue)].append(residue)


def _measure_nearest(first: app.topology.Residue, second: app.topology.Residue, positions: np.ndarray) -> float:
    """Return the least distance between atoms of two residues [Å]."""
    ones, others = (positions[[atom.index for atom in residue.atoms()]] for residue in (first, second))
    return float(np.linalg.norm(ones[:, None] - others[None], axis=2).min())


def end_polymers(fixer: PDBFixer) -> None:
    """Begin a new chain where a protein, a nucleic acid or something else turns into another without a TER record.

    Raises PreparationError where something else stands in the file between two residues that are bonded.
    """
    positions = _read_positions(fixer)
    starts = set()
    for chain in fixer.topology.chains():
        last = None
        for before, after in pairwise(chain.residues()):
            last = before if is_polymer(before) else last
            if _find_kind(before) == _find_kind(after) or _is_joined(before, after, positions):
                continue
            starts.add(after)
            if last is not None and is_polymer(after) and _is_joined(last, after, positions):
                raise PreparationError(
                    f"{label_residue(before)} stands in the file between {label_residue(last)} and "
                    f"{label_residue(after)}, which are bonded: move its lines to the end of the chain"
                )
    _split(fixer, starts)


def _find_kind(residue: app.topology.Residue) -> str:
    if not is_polymer(residue):
        return "other"
    return "nucleic acid" if residue.name in _NUCLEOTIDES else "protein"


def split_at_gaps(fixer: PDBFixer) -> tuple[str, ...]:
    """Begin a new chain at each gap for which no residues will be built, and return a sentence on each.

    Raises PreparationError where two neighbours are too far for a bond and too near for a gap.
    """
    positions = _read_positions(fixer)
    starts, beside, sentences = set(), set(), []
    for before, after in _iterate_neighbors(fixer.topology):
        place = (after.chain.index, list(after.chain.residues()).index(after)) if before.chain is after.chain else None
        if place in fixer.missingResidues or not (is_polymer(before) and is_polymer(after)):
            continue
        gap = _find_gap(before, after, positions)
        if gap:
            starts.add(after)
            beside |= {before.index, after.index}
            sentences.append(gap)
    _split(fixer, starts)
    sentences += _remove_phosphates(fixer, beside)
    return (*sentences, *cap_lone_residues(fixer, _find_lone_residues(fixer, beside)))


def _remove_phosphates(fixer: PDBFixer, beside: Collection[int]) -> list[str]:
    """Take the phosphate from a nucleotide after a gap: the force field has none at the beginning of a chain."""
    firsts = [next(chain.residues()) for chain in fixer.topology.chains()]
    cut = [residue for residue in firsts if residue.index in beside and residue.name in _NUCLEOTIDES]
    gone = [atom for residue in cut for atom in residue.atoms() if atom.name in _PHOSPHATE]
    if not gone:
        return []
    modeller = app.Modeller(fixer.topology, fixer.positions)
    modeller.delete(gone)
    fixer.topology, fixer.positions = modeller.topology, modeller.positions
    return [f"{label_residue(residue)} is the first after a gap: its phosphate is left out" for residue in cut]


def _find_lone_residues(fixer: PDBFixer, beside: Collection[int]) -> set[int]:
    """Return which of the residues beside gaps, by index, is a chain of its own to which nothing is added."""
    extended = {chain for chain, _ in fixer.missingResidues}
    chains = (list(chain.residues()) for chain in fixer.topology.chains() if chain.index not in extended)
    return {residues[0].index for residues in chains if len(residues) == 1 and residues[0].index in beside}


def check_polymer_bonds(topology: app.Topology, positions: unit.Quantity, when: str) -> None:
    """Raise PreparationError where a bond between two residues of a polymer is longer than bonds are.

    when: such as "after repair", for the error
    """
    lengths = measure_bonds(topology, positions)
    for (first, second), length in lengths.items():
        bridge = first.element is not None and first.element.symbol == "S"
        if length > LONGEST_BOND_ANGSTROM and not bridge and is_polymer(first.residue) and is_polymer(second.residue):
            raise PreparationError(
                f"{when} the bond {first.name}-{second.name} from {label_residue(first.residue)} to "
                f"{label_residue(second.residue)} is {length:.2f} Å long: add the residues or atoms that are missing "
                "there to the file, or take the neighbours out"
            )


def measure_bonds(
    topology: app.Topology, positions: unit.Quantity
) -> dict[tuple[app.topology.Atom, app.topology.Atom], float]:
    """Return the length of each bond between two residues [Å]; molecules are whole."""
    places = np.array(positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    return {
        (bond.atom1, bond.atom2): float(np.linalg.norm(places[bond.atom2.index] - places[bond.atom1.index]))
        for bond in topology.bonds()
        if bond.atom1.residue is not bond.atom2.residue
    }


def measure_joint(
    before: app.topology.Residue, after: app.topology.Residue, positions: np.ndarray
) -> tuple[str, float] | None:
    """Return the two atoms that join neighbours, such as "C-N", and their distance [Å]; None where one is missing."""
    first, second = ({atom.name: atom.index for atom in residue.atoms()} for residue in (before, after))
    for left, right in _JOINTS:
        if left in first and right in second:
            return f"{left}-{right}", float(np.linalg.norm(positions[second[right]] - positions[first[left]]))
    return None


def _find_gap(before: app.topology.Residue, after: app.topology.Residue, positions: np.ndarray) -> str | None:
    joint = measure_joint(before, after, positions)
    if joint is None:
        distance = _measure_nearest(before, after, positions)
        joint = ("nearest atoms", distance)
        if distance <= _FARTHEST_NEIGHBORS_ANGSTROM:
            return None
    names, distance = joint
    if distance <= LONGEST_BOND_ANGSTROM:
        return None
    if distance < _LEAST_GAP_ANGSTROM:
        raise PreparationError(
            f"{names} of {label_residue(before)} and {label_residue(after)} are {distance:.2f} Å apart, too far for a "
            "bond and too near for a gap: correct their coordinates, or take one of them out of the file"
        )
    return (
        f"a gap of {distance:.2f} Å ({names}) between {label_residue(before)} and {label_residue(after)}: the chain "
        "ends there and a new one begins; name missing residues under insert_after to have them built"
    )


def _is_joined(before: app.topology.Residue, after: app.topology.Residue, positions: np.ndarray) -> bool:
    joint = measure_joint(before, after, positions)
    return joint is not None and joint[1] <= LONGEST_BOND_ANGSTROM


def _iterate_neighbors(topology: app.Topology) -> Iterator[tuple[app.topology.Residue, app.topology.Residue]]:
    for chain in topology.chains():
        residues = list(chain.residues())
        yield from pairwise(residues)


def _read_positions(fixer: PDBFixer) -> np.ndarray:
    return np.array(fixer.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)


def _split(fixer: PDBFixer, starts: Collection[app.topology.Residue]) -> None:
    """Begin a new chain, of the same name, at each of these residues; places of missing residues follow."""
    if not starts:
        return
    topology, atoms, places = app.Topology(), {}, {}
    topology.setPeriodicBoxVectors(fixer.topology.getPeriodicBoxVectors())
    for chain in fixer.topology.chains():
        new_chain, length = topology.addChain(chain.id), 0
        for index, residue in enumerate(chain.residues()):
            if residue in starts:
                new_chain, length = topology.addChain(chain.id), 0
            places[chain.index, index] = (new_chain.index, length)
            length += 1
            places[chain.index, index + 1] = (new_chain.index, length)
            new_residue = topology.addResidue(residue.name, new_chain, residue.id, residue.insertionCode)
            for atom in residue.atoms():
                atoms[atom] = topology.addAtom(atom.name, atom.element, new_residue, atom.id, atom.formalCharge)
    for bond in fixer.topology.bonds():
        if not _crosses(bond, starts):
            topology.addBond(atoms[bond.atom1], atoms[bond.atom2], bond.type, bond.order)
    fixer.topology = topology
    fixer.missingResidues = {places[place]: names for place, names in getattr(fixer, "missingResidues", {}).items()}


def _crosses(bond: app.topology.Bond, starts: Collection[app.topology.Residue]) -> bool:
    """Return True for a bond between the first residue of a chain and the residue before it."""
    first, second = sorted((bond.atom1, bond.atom2), key=lambda atom: atom.residue.index)
    return (
        (first.name, second.name) in _JOINTS
        and second.residue in starts
        and (second.residue.index == first.residue.index + 1)
    )
