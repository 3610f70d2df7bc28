"""Place a ligand at a metal: its atom completes the tetrahedron, and the rest turns to where it fits best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdDistGeom import EmbedMultipleConfs
from rdkit.Chem.rdForceFieldHelpers import MMFFHasAllMoleculeParams, MMFFOptimizeMoleculeConfs
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.complete import ETKDG_VERSION

# Usual distances of zinc in proteins; other metals of the same coordination differ by 0.1 Å.
# Source: Harding, Acta Cryst. D62, 678 (2006).
_BOND_ANGSTROM = {7: 2.0, 8: 2.0, 16: 2.3}
_DONORS = 3  # besides the ligand, in a tetrahedron
_LEAST_DISTANCE_ANGSTROM = 2.4  # between heavy atoms of the pose and of the surroundings
_REACH_ANGSTROM = 5.0  # of the surroundings that are looked at, beyond the length of the ligand
_CONFORMERS = 20
_SAME_RMS = 0.3  # of two conformers [Å], of which one is enough
_TURNS = 36
_NEXT_TURNS = 12
_REFINED = 24
_SPRING_PER_ANGSTROM2 = 60.0
_MOST_OF_A_PAIR = 20.0
# Pairs of N and O form hydrogen bonds: their distance [Å] and depth, in units of those of other pairs.
_POLAR_DISTANCE_ANGSTROM, _POLAR_DEPTH = 2.9, 5.0


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of a metal that a ligand must fit.

    label: of the metal, such as "ZN A:262"; metal: (3,); donors: (N, 3), the atoms that bind it and stay
    positions: (M, 3) heavy atoms that do not move; numbers: (M,) their atomic numbers; all lengths in Å
    """

    label: str
    metal: np.ndarray
    donors: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray


def place_at_metal(template: Chem.Mol, surroundings: Surroundings, label: str, seed: int) -> tuple[Chem.Mol, int]:
    """Return the template with coordinates, and the index of the atom that binds the metal.

    A methyl group stands for the metal while RDKit builds conformers, so that the angles at the binding atom and its
    hydrogens are those of an atom with one more bond. Each conformer is turned about that bond and about the next one.
    The best poses are moved as rigid bodies to the minimum of their energy, and the lowest is taken.
    Raises PreparationError: no single binding atom, no tetrahedron, no pose without a clash.
    """
    bond = _bond_substitute(template, find_binding_atom(template, label))
    corner = surroundings.metal + bond.length * _find_vacancy(surroundings)
    shapes = [
        turned for shape in _build_conformers(bond, label, seed) for turned in _turn_next_bond(shape, bond)
    ]  # fmt: skip
    pocket = _Pocket(surroundings, [atom.GetAtomicNum() for atom in template.GetAtoms()], bond, shapes)
    turned = (_turn(shape, bond, surroundings.metal, corner) for shape in shapes)
    starts = sorted((pocket.choose(poses) for poses in turned), key=lambda start: start[0])[:_REFINED]
    refined = [_refine(pose, bond, pocket, corner) for _, pose in starts]
    places = min(refined, key=lambda result: result[0])[1]
    places = places + _find_shift(places[bond.binding], surroundings.metal, bond.length)
    heavy = [atom.GetIdx() for atom in template.GetAtoms() if atom.GetAtomicNum() > 1]
    _refuse_clash(places[heavy], surroundings, label)
    placed = Chem.Mol(template)
    conformer = Chem.Conformer(placed.GetNumAtoms())
    conformer.SetPositions(np.ascontiguousarray(places[: placed.GetNumAtoms()]))
    placed.RemoveAllConformers()
    placed.AddConformer(conformer)
    return placed, bond.binding


def find_binding_atom(template: Chem.Mol, label: str) -> int:
    """Return the index of the atom marked as in [NH-:1], else of the only N, O or S with a negative charge."""
    able = [atom for atom in template.GetAtoms() if atom.GetAtomicNum() in _BOND_ANGSTROM]
    marked = [atom.GetIdx() for atom in able if atom.GetAtomMapNum()]
    ranks = list(Chem.CanonicalRankAtoms(template, breakTies=False, includeAtomMaps=False))
    negative = {ranks[atom.GetIdx()]: atom.GetIdx() for atom in able if atom.GetFormalCharge() < 0}
    if len(marked) == 1:
        return marked[0]
    if marked or len(negative) != 1:
        raise PreparationError(
            f"{label} has {len(marked) or len(negative)} atoms that may bind the metal: mark one N, O or S in its "
            "SMILES, as in [NH-:1]"
        )
    return next(iter(negative.values()))


def _find_vacancy(surroundings: Surroundings) -> np.ndarray:
    """Return the direction from the metal to the free corner of its tetrahedron."""
    vectors = surroundings.donors - surroundings.metal
    if len(vectors) != _DONORS:
        raise PreparationError(
            f"{surroundings.label} is bound by {len(vectors)} atoms other than water within 2.6 Å, but place_at needs "
            f"{_DONORS}, as in a tetrahedron: give a file with the ligand's coordinates"
        )
    away = -np.sum(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), axis=0)
    length = np.linalg.norm(away)
    if length < 0.5:  # 1 in a tetrahedron, 0 if the metal lies in the plane of the three
        raise PreparationError(
            f"{surroundings.label} lies in the plane of the three atoms that bind it, and no side of it is free: "
            "give a file with the ligand's coordinates"
        )
    return away / length


@dataclass(frozen=True)
class _Bond:
    """The bond to the metal: the molecule with a methyl group there, both its atoms, and its length [Å]."""

    molecule: Chem.Mol
    binding: int
    substitute: int
    length: float


def _bond_substitute(template: Chem.Mol, binding: int) -> _Bond:
    molecule = Chem.RWMol(template)
    atom = molecule.GetAtomWithIdx(binding)
    atom.SetFormalCharge(atom.GetFormalCharge() + 1)
    substitute = molecule.AddAtom(Chem.Atom(6))
    molecule.AddBond(binding, substitute, Chem.BondType.SINGLE)
    Chem.SanitizeMol(molecule)
    complete = Chem.AddHs(molecule.GetMol(), onlyOnAtoms=[substitute])
    return _Bond(complete, binding, substitute, _BOND_ANGSTROM[atom.GetAtomicNum()])


def _build_conformers(bond: _Bond, label: str, seed: int) -> list[np.ndarray]:
    molecule = Chem.Mol(bond.molecule)
    found = EmbedMultipleConfs(
        molecule,
        _CONFORMERS,
        randomSeed=seed,
        pruneRmsThresh=_SAME_RMS,
        useMacrocycleTorsions=True,
        ETversion=ETKDG_VERSION,
    )
    if not len(found):
        raise PreparationError(f"RDKit finds no coordinates for {label}: give a file with them")
    if MMFFHasAllMoleculeParams(molecule):
        MMFFOptimizeMoleculeConfs(molecule)
    return [conformer.GetPositions() for conformer in molecule.GetConformers()]


def _turn_next_bond(shape: np.ndarray, bond: _Bond) -> list[np.ndarray]:
    """Return a conformer with the metal's place at every angle about the bond beyond the binding atom.

    Only where there is one such bond to a heavy atom, and no ring.
    """
    neighbours = bond.molecule.GetAtomWithIdx(bond.binding).GetNeighbors()
    moving = [atom.GetIdx() for atom in neighbours if atom.GetAtomicNum() == 1] + [bond.substitute]
    beyond = [atom.GetIdx() for atom in neighbours if atom.GetIdx() not in moving]
    if len(beyond) != 1:
        return [shape]
    axis = shape[bond.binding] - shape[beyond[0]]
    turned = []
    for angle in np.linspace(0.0, 2 * np.pi, _NEXT_TURNS, endpoint=False):
        rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
        places = shape.copy()
        places[moving] = rotation.apply(shape[moving] - shape[bond.binding]) + shape[bond.binding]
        turned.append(places)
    return turned


def _turn(shape: np.ndarray, bond: _Bond, metal: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return a conformer at the corner, turned about the bond to the metal by every angle: (_TURNS, N, 3).

    The substitute is put where the metal is.
    """
    inward = metal - corner
    upright, _ = Rotation.align_vectors([inward], [shape[bond.substitute] - shape[bond.binding]])
    centred = upright.apply(shape - shape[bond.binding])
    centred[bond.substitute] = inward
    axis = inward / np.linalg.norm(inward)
    angles = np.linspace(0.0, 2 * np.pi, _TURNS, endpoint=False)
    rotations = Rotation.from_rotvec(angles[:, None] * axis).as_matrix()  # (_TURNS, 3, 3)
    return centred @ rotations.transpose(0, 2, 1) + corner


def _refine(pose: np.ndarray, bond: _Bond, pocket: _Pocket, corner: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the pose moved as a rigid body to the nearest minimum, with springs on the bond to the metal."""
    centre, metal = pose.mean(axis=0), pose[bond.substitute].copy()

    def move(change: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(change[:3]).apply(pose - centre) + centre + change[3:]

    def compute(change: np.ndarray) -> float:
        moved = move(change)
        strain = np.sum((moved[bond.binding] - corner) ** 2) + np.sum((moved[bond.substitute] - metal) ** 2)
        return float(pocket.compute_energies(moved[None])[0] + _SPRING_PER_ANGSTROM2 * strain)

    found = minimize(compute, np.zeros(6), method="L-BFGS-B", options={"maxiter": 40})
    return float(found.fun), move(found.x)


def _find_shift(binding: np.ndarray, metal: np.ndarray, length: float) -> np.ndarray:
    """Return the small shift after which the bond to the metal has its length again."""
    bond = binding - metal
    return bond * (length / np.linalg.norm(bond) - 1.0)


def _refuse_clash(places: np.ndarray, surroundings: Surroundings, label: str) -> None:
    nearest = cdist(places, surroundings.positions).min()
    if nearest < _LEAST_DISTANCE_ANGSTROM:
        raise PreparationError(
            f"{label} finds no room at {surroundings.label}: in its best pose two heavy atoms are {nearest:.2f} Å "
            "apart; give a file with its coordinates"
        )


class _Pocket:
    """Lennard-Jones energy between a ligand and what surrounds it, of heavy atoms and in units of one pair's depth."""

    def __init__(self, surroundings: Surroundings, numbers: list[int], bond: _Bond, shapes: list[np.ndarray]) -> None:
        table = Chem.GetPeriodicTable()
        self._heavy = np.flatnonzero(np.array(numbers) > 1)
        extent = max(np.linalg.norm(shape - shape[bond.binding], axis=1).max() for shape in shapes)
        near = np.linalg.norm(surroundings.positions - surroundings.metal, axis=1) < extent + _REACH_ANGSTROM
        self._positions = surroundings.positions[near]
        of_ligand, of_others = np.array(numbers)[self._heavy], surroundings.numbers[near]
        polar = np.isin(of_ligand, (7, 8))[:, None] & np.isin(of_others, (7, 8))[None]
        radii, other_radii = (
            np.array([table.GetRvdw(int(number)) for number in some]) for some in (of_ligand, of_others)
        )
        self._minima2 = np.where(polar, _POLAR_DISTANCE_ANGSTROM, radii[:, None] + other_radii[None]) ** 2
        self._depths = np.where(polar, _POLAR_DEPTH, 1.0)

    def choose(self, poses: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the lowest energy of some poses (P, N, 3), and that pose (N, 3)."""
        energies = self.compute_energies(poses, soft=True)
        return float(energies.min()), poses[energies.argmin()]

    def compute_energies(self, poses: np.ndarray, *, soft: bool = False) -> np.ndarray:
        """Return the energy of each pose (P, N, 3) [Å]. soft: no pair may cost much, for a search."""
        vectors = poses[:, self._heavy, None] - self._positions  # (P, H, M, 3)
        squares = np.einsum("phmx,phmx->phm", vectors, vectors)
        sixth = (self._minima2 / np.maximum(squares, 0.25)) ** 3
        energies = self._depths * (sixth**2 - 2 * sixth)
        return (np.minimum(energies, _MOST_OF_A_PAIR) if soft else energies).sum(axis=(1, 2))
