"""Cut small fragments out of a large system: small enough for quantum chemistry, every cut bond ended by a hydrogen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from openmm import app

from orbmm.errors import TrainingError
from orbmm.geometry import take_nearest
from orbmm.kinds import BACKBONE
from orbmm.preparation.force_field import list_residue_charges
from orbmm.preparation.residues import is_water
from orbmm.training.data.frames import Frame

LARGEST_FRAGMENT = 90
"""Atoms of a fragment, its hydrogens at cut bonds left out; GFN1-xTB takes about a second for so many."""

FRAGMENT_RADIUS_ANGSTROM = 5.0
METAL_BOND_ANGSTROM = 2.9
_BOND_TO_HYDROGEN_ANGSTROM = {"C": 1.09, "N": 1.01, "O": 0.96, "S": 1.34}
_FURTHEST_GAP = 2  # residues between two chosen ones that are taken as well, so that two ends do not meet


@dataclass(frozen=True)
class FragmentSource:
    """A system with all its hydrogens, from which fragments are cut.

    charges: of each residue [e]; atoms of a metal and what it binds count together
    """

    topology: app.Topology
    charges: Sequence[int]

    @classmethod
    def of(cls, topology: app.Topology) -> FragmentSource:
        """Return the source of a topology that the classical force field knows. Raises PreparationError."""
        return cls(topology, list_residue_charges(topology))

    @cached_property
    def atoms(self) -> list[app.topology.Atom]:
        """The atoms in their order."""
        return list(self.topology.atoms())

    @cached_property
    def residues(self) -> list[app.topology.Residue]:
        """The residues in their order."""
        return list(self.topology.residues())

    @cached_property
    def residue_of_atom(self) -> np.ndarray:
        """(N,) the residue's index of each atom."""
        return np.array([atom.residue.index for atom in self.atoms])

    @cached_property
    def bonds(self) -> np.ndarray:
        """(B, 2) the atoms of each bond."""
        return np.array([(bond[0].index, bond[1].index) for bond in self.topology.bonds()]).reshape(-1, 2)

    @cached_property
    def metals(self) -> list[int]:
        """The atoms that bind ligands which a fragment must keep: all ions of charge 2 and more."""
        return [atom.index for atom in self.atoms if self.charges[atom.residue.index] >= 2 and len(atom.residue) == 1]

    def cut(
        self, positions: np.ndarray, cell: np.ndarray | None, center: int, largest: int = LARGEST_FRAGMENT
    ) -> Frame:
        """Return the fragment about one residue, with its charge, without periodic boundaries.

        positions: (N, 3) [Å], chains not broken at the box; cell: (3, 3) [Å]; center: index of a residue
        largest: atoms; more are taken only where disulfides, metals or short gaps need them
        Raises TrainingError for a residue that does not exist.
        """
        if not 0 <= center < len(self.residues):
            raise TrainingError(f"residue {center} does not exist: the system has {len(self.residues)} residues")
        near = self._gather(positions, cell, center)
        chosen = self._choose(near, center, largest)
        inside, ends = self._cap(chosen)
        numbers = [self.atoms[index].element.atomic_number for index in inside] + [1] * len(ends)
        places = np.concatenate([near[inside], _place_hydrogens(self.atoms, near, ends)])
        residue = self.residues[center]
        return Frame(
            atomic_numbers=np.array(numbers, dtype=np.int64),
            positions=places - places.mean(axis=0),
            cell=None,
            peptide=np.array([not is_water(self.atoms[index].residue) for index in inside] + [True] * len(ends)),
            group=f"fragment-{residue.name.lower()}-{residue.index}",
            charge=sum(self.charges[index] for index in chosen),
        )

    def _gather(self, positions: np.ndarray, cell: np.ndarray | None, center: int) -> np.ndarray:
        """Return positions (N, 3) [Å] with every residue at its image nearest to the center."""
        if cell is None:
            return positions
        first = np.array([next(residue.atoms()).index for residue in self.residues])
        middle = positions[self.residue_of_atom == center].mean(axis=0)
        moved = take_nearest(positions[first] - middle, cell) + middle - positions[first]
        return positions + moved[self.residue_of_atom]

    def _choose(self, near: np.ndarray, center: int, largest: int) -> set[int]:
        """Return the residues of a fragment: the nearest first, as many as its size allows."""
        middle = near[self.residue_of_atom == center]
        distances = np.linalg.norm(near[:, None] - middle[None], axis=-1).min(axis=1)
        by_residue = np.full(len(self.residues), np.inf)
        np.minimum.at(by_residue, self.residue_of_atom, distances)
        chosen = self._complete({center}, near)
        for residue in np.argsort(by_residue, kind="stable"):
            if by_residue[residue] > FRAGMENT_RADIUS_ANGSTROM:
                break
            larger = self._complete(chosen | {int(residue)}, near)
            if self._count(larger) <= largest:
                chosen = larger
        return chosen

    def _count(self, chosen: Iterable[int]) -> int:
        return sum(len(self.residues[index]) for index in chosen)

    def _complete(self, chosen: set[int], near: np.ndarray) -> set[int]:
        """Return the residues with those that they cannot be cut from: disulfides, metal sites, short gaps."""
        while True:
            wanted = chosen | self._find_side_chain_partners(chosen) | self._find_site(chosen, near)
            wanted |= self._find_gaps(wanted)
            if wanted == chosen:
                return chosen
            chosen = wanted

    def _find_side_chain_partners(self, chosen: set[int]) -> set[int]:
        crossing = self._list_crossing_bonds(chosen)
        return {
            int(self.residue_of_atom[outer])
            for inner, outer in crossing
            if {self.atoms[inner].name, self.atoms[outer].name} != {"N", "C"}
        }

    def _list_crossing_bonds(self, chosen: set[int]) -> list[tuple[int, int]]:
        """Return the bonds between a chosen residue and another one, the chosen one's atom first."""
        owners = self.residue_of_atom[self.bonds]
        is_inside = np.isin(owners, list(chosen))
        crossing = self.bonds[is_inside[:, 0] != is_inside[:, 1]]
        first = np.isin(self.residue_of_atom[crossing[:, 0]], list(chosen))
        return [(int(a), int(b)) if inner else (int(b), int(a)) for (a, b), inner in zip(crossing, first, strict=True)]

    def _find_site(self, chosen: set[int], near: np.ndarray) -> set[int]:
        found: set[int] = set()
        for metal in self.metals:
            distances = np.linalg.norm(near - near[metal], axis=1)
            site = {int(owner) for owner in self.residue_of_atom[distances < METAL_BOND_ANGSTROM]}
            found |= site if site & chosen else set()
        return found

    def _find_gaps(self, chosen: set[int]) -> set[int]:
        """Return residues of a chain of which both sides are chosen."""
        found: set[int] = set()
        for residue in chosen:
            for gap in range(1, _FURTHEST_GAP + 1):
                after = residue + gap + 1
                between = set(range(residue + 1, after))
                same = after < len(self.residues) and self.residues[after].chain is self.residues[residue].chain
                if same and after in chosen and all(self._is_amino_acid(index) for index in (residue, *between, after)):
                    found |= between
        return found

    def _is_amino_acid(self, residue: int) -> bool:
        return {"N", "C"} <= {atom.name for atom in self.residues[residue].atoms()} or (
            self.residues[residue].name in ("ACE", "NME")
        )

    def _cap(self, chosen: set[int]) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the atoms of a fragment, and its cut bonds as (atom inside, atom outside).

        At a cut peptide bond the neighbour's half of it stays, up to its CA: the ends are acetyl and N-methyl.
        """
        inside = {atom.index for index in chosen for atom in self.residues[index].atoms()}
        for _, outer in self._list_crossing_bonds(chosen):
            inside |= self._take_half(outer)
        is_inside = np.zeros(len(self.atoms), dtype=bool)
        is_inside[list(inside)] = True
        pairs = is_inside[self.bonds]
        cut = self.bonds[pairs[:, 0] != pairs[:, 1]]
        ends = [(int(a), int(b)) if is_inside[a] else (int(b), int(a)) for a, b in cut]
        return sorted(inside), ends

    def _take_half(self, outer: int) -> set[int]:
        residue = self.atoms[outer].residue
        names = {"C": ("C", "O", "CA", "HA", "HA2", "HA3"), "N": ("N", "H", "CA", "HA", "HA2", "HA3")}
        wanted = names[self.atoms[outer].name]
        if BACKBONE[1] not in {atom.name for atom in residue.atoms()}:  # ACE and NME are ends already
            return {atom.index for atom in residue.atoms()}
        return {atom.index for atom in residue.atoms() if atom.name in wanted}


def _place_hydrogens(
    atoms: Sequence[app.topology.Atom], positions: np.ndarray, ends: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return the positions (len(ends), 3) [Å] of hydrogens along the cut bonds."""
    placed = np.zeros((len(ends), 3))
    for row, (inner, outer) in enumerate(ends):
        along = positions[outer] - positions[inner]
        length = _BOND_TO_HYDROGEN_ANGSTROM[atoms[inner].element.symbol]
        placed[row] = positions[inner] + along / np.linalg.norm(along) * length
    return placed
