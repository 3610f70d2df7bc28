"""Find the atoms of a template in a residue of the structure, so that the residue's coordinates are kept.

A structure file gives elements and coordinates, but neither bond orders nor hydrogens. These are the template's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdForceFieldHelpers import GetUFFBondStretchParams

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.stereo import forget_resonance, label_stereo, read_stereo

NAME = "name"  # property of an atom: its name in the structure file

_BOND_FACTOR = 1.3  # of the sum of covalent radii; the default of RDKit's own search for bonds
_MOST_MATCHES = 50_000
# Sum over the bonds of squared deviations from their lengths in UFF; less than this cannot tell two assignments apart.
# Atoms that differ by 0.04 Å in bonds that should differ by 0.12 Å, as C-O and C=O do, give 0.01.
_LEAST_DIFFERENCE_ANGSTROM2 = 0.01


@dataclass(frozen=True)
class PlacedAtoms:
    """The heavy atoms of a residue: label such as "AZM A:301"; names; atomic numbers; positions (N, 3) [Å]."""

    label: str
    names: Sequence[str]
    numbers: Sequence[int]
    positions: np.ndarray


def match_template(template: Chem.Mol, found: PlacedAtoms) -> Chem.Mol:
    """Return the template with the names and coordinates of the residue's heavy atoms, and without hydrogens.

    Raises PreparationError where atoms are missing or too many, bonds do not fit, the stereochemistry differs, or
    several assignments fit that differ in more than symmetry.
    """
    heavy = Chem.RemoveAllHs(template)
    forget_resonance(heavy)
    _compare_atoms(heavy, found)
    skeleton = _draw_skeleton([atom.GetAtomicNum() for atom in heavy.GetAtoms()], _list_bonds(heavy))
    target = _draw_skeleton(found.numbers, _find_bonds(found))
    matches = target.GetSubstructMatches(skeleton, uniquify=False, maxMatches=_MOST_MATCHES)
    if not matches:
        raise PreparationError(
            f"{found.label} has the atoms of its template, but not its bonds: {_find_long_bond(heavy, found)}"
        )
    if len(matches) == _MOST_MATCHES:
        raise PreparationError(f"{found.label} has too many symmetries to find its atoms in its template")
    fitting = _keep_stereo(heavy, found, matches)
    return _take_coordinates(heavy, found, _choose_match(heavy, found, fitting))


def _compare_atoms(heavy: Chem.Mol, found: PlacedAtoms) -> None:
    """Raise PreparationError that names the elements of which the residue has too few or too many atoms."""
    wanted = Counter(atom.GetSymbol() for atom in heavy.GetAtoms())
    having = Counter(Chem.GetPeriodicTable().GetElementSymbol(int(number)) for number in found.numbers)
    missing, beyond = wanted - having, having - wanted
    if missing and not beyond:
        named = _name_missing(heavy, found) or _count(missing)
        raise PreparationError(
            f"{found.label} lacks heavy atoms of its template, {named}: add them to the structure, or take its "
            "coordinates from a file"
        )
    if missing or beyond:
        raise PreparationError(
            f"{found.label} has the heavy atoms {_count(having)}, its template {_count(wanted)}: give the template of "
            "that molecule"
        )


def _name_missing(heavy: Chem.Mol, found: PlacedAtoms) -> str:
    """Return each missing atom with a neighbour that is there, such as "O at C7"; "" where the rest does not fit."""
    skeleton = _draw_skeleton([atom.GetAtomicNum() for atom in heavy.GetAtoms()], _list_bonds(heavy))
    match = skeleton.GetSubstructMatch(_draw_skeleton(found.numbers, _find_bonds(found)))
    names = dict(zip(match, found.names, strict=False))
    missing = []
    for atom in heavy.GetAtoms() if match else ():
        if atom.GetIdx() not in names:
            near = [names[other.GetIdx()] for other in atom.GetNeighbors() if other.GetIdx() in names]
            missing.append(f"{atom.GetSymbol()} at {near[0]}" if near else atom.GetSymbol())
    return ", ".join(missing)


def _count(elements: Mapping[str, int]) -> str:
    return " ".join(f"{symbol}{count}" if count > 1 else symbol for symbol, count in sorted(elements.items()))


def _draw_skeleton(numbers: Iterable[int], bonds: Iterable[tuple[int, int]]) -> Chem.Mol:
    """Return a molecule of single bonds without charges and hydrogens, which only says what is bonded to what."""
    skeleton = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        skeleton.AddAtom(atom)
    for first, second in bonds:
        skeleton.AddBond(first, second, Chem.BondType.SINGLE)
    return skeleton.GetMol()


def _list_bonds(molecule: Chem.Mol) -> list[tuple[int, int]]:
    return [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]


def _find_bonds(found: PlacedAtoms) -> list[tuple[int, int]]:
    radii = np.array([Chem.GetPeriodicTable().GetRcovalent(int(number)) for number in found.numbers])
    distances = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
    near = np.triu(distances < _BOND_FACTOR * (radii[:, None] + radii[None]), k=1)
    return [(int(first), int(second)) for first, second in np.argwhere(near)]


def _find_long_bond(heavy: Chem.Mol, found: PlacedAtoms) -> str:
    """Say which atom of the residue has fewer neighbours than any atom of its element in the template."""
    degrees: dict[int, int] = defaultdict(lambda: len(found.names))
    for atom in heavy.GetAtoms():
        degrees[atom.GetAtomicNum()] = min(degrees[atom.GetAtomicNum()], atom.GetDegree())
    having = Counter(index for bond in _find_bonds(found) for index in bond)
    alone = [name for at, name in enumerate(found.names) if having[at] < degrees[int(found.numbers[at])]]
    where = f"{', '.join(alone)} is too far from its neighbours" if alone else "its atoms are joined in another way"
    return f"{where}; correct the coordinates, or give the template of that molecule"


def _keep_stereo(heavy: Chem.Mol, found: PlacedAtoms, matches: Iterable[Sequence[int]]) -> list[Sequence[int]]:
    """Return, of each kind of match, the first in which the coordinates have the stereochemistry of the template.

    Matches are of one kind if they put as many hydrogens on each atom of the residue: then only bonds and charges
    are exchanged, as in the two drawings of a carboxylate.
    """
    wanted = label_stereo(heavy)
    fitting: dict[tuple[int, ...], Sequence[int]] = {}
    hydrogens = np.array([atom.GetTotalNumHs() for atom in heavy.GetAtoms()])
    failure: dict[str, tuple[str, str]] = {}
    for match in matches:
        kind = tuple(hydrogens[np.argsort(match)].tolist())
        if kind in fitting:
            continue
        placed = _take_coordinates(heavy, found, match)
        having = label_stereo(placed) if wanted else {}
        wrong = {key: (label, having.get(key, "none")) for key, label in wanted.items() if having.get(key) != label}
        if not wrong:
            fitting[kind] = match
        elif not failure:
            failure = {_name_centre(placed, key): labels for key, labels in wrong.items()}
    if not fitting:
        told = ", ".join(f"{centre} is {having}, not {label}" for centre, (label, having) in failure.items())
        raise PreparationError(
            f"{found.label} has another stereochemistry in the structure than in its template ({told}): correct the "
            "one or the other"
        )
    return list(fitting.values())


def _name_centre(placed: Chem.Mol, centre: tuple[int, ...]) -> str:
    return "=".join(placed.GetAtomWithIdx(index).GetProp(NAME) for index in centre)


def _choose_match(heavy: Chem.Mol, found: PlacedAtoms, fitting: list[Sequence[int]]) -> Sequence[int]:
    """Return the match whose bonds have the lengths that suit their orders.

    Raises PreparationError where hydrogens could sit on other atoms and the lengths do not tell.
    """
    lengths = _list_lengths(heavy) if len(fitting) > 1 else {}
    ranked = sorted(fitting, key=lambda match: _measure_misfit(lengths, found, match))
    if len(ranked) > 1:
        best, next_best = (_measure_misfit(lengths, found, match) for match in ranked[:2])
        if next_best - best < _LEAST_DIFFERENCE_ANGSTROM2:
            hydrogens = [atom.GetTotalNumHs() for atom in heavy.GetAtoms()]
            first, second = (np.array(hydrogens)[np.argsort(match)] for match in ranked[:2])
            names = ", ".join(found.names[int(at)] for at in np.flatnonzero(first != second))
            raise PreparationError(
                f"the template of {found.label} fits in two ways, which place hydrogens differently on {names}, and "
                "bond lengths do not tell: take the ligand out of the structure and its coordinates from a file"
            )
    return ranked[0]


def _list_lengths(heavy: Chem.Mol) -> dict[tuple[int, int], float]:
    """Return the length of each bond in UFF [Å], the same for bonds that resonance makes equal."""
    skeleton = _draw_skeleton([atom.GetAtomicNum() for atom in heavy.GetAtoms()], _list_bonds(heavy))
    for atom, drawn in zip(heavy.GetAtoms(), skeleton.GetAtoms(), strict=True):
        drawn.SetIsotope(1 + atom.GetTotalNumHs())  # tells a hydroxyl from the oxygens of a carboxylate
    ranks = list(Chem.CanonicalRankAtoms(skeleton, breakTies=False))
    alike: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for first, second in _list_bonds(heavy):
        if GetUFFBondStretchParams(heavy, first, second) is not None:
            alike[tuple(sorted((ranks[first], ranks[second])))].append((first, second))
    lengths = {}
    for bonds in alike.values():
        mean = float(np.mean([GetUFFBondStretchParams(heavy, *bond)[1] for bond in bonds]))
        lengths.update(dict.fromkeys(bonds, mean))
    return lengths


def _measure_misfit(lengths: Mapping[tuple[int, int], float], found: PlacedAtoms, match: Sequence[int]) -> float:
    """Return the sum of squared differences of the residue's bond lengths from these [Å^2]."""
    places = found.positions[list(match)]
    return sum(
        float(np.linalg.norm(places[first] - places[second]) - length) ** 2
        for (first, second), length in lengths.items()
    )


def _take_coordinates(heavy: Chem.Mol, found: PlacedAtoms, match: Sequence[int]) -> Chem.Mol:
    """Return the template with names and coordinates of the matched atoms, and with the stereochemistry of these.

    match: for each atom of the template the index of the residue's atom
    """
    placed = Chem.Mol(heavy)
    conformer = Chem.Conformer(placed.GetNumAtoms())
    conformer.SetPositions(np.ascontiguousarray(found.positions[list(match)], dtype=float))
    placed.RemoveAllConformers()
    placed.AddConformer(conformer)
    for atom, at in zip(placed.GetAtoms(), match, strict=True):
        atom.SetProp(NAME, found.names[at])
    read_stereo(placed)
    return placed
