"""Who holds which proton: titratable groups, waters, the oxygen on the metal, and the hops between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs, shorten
from orbmm.analysis.reading.frames import Frames, iterate_frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.site.metal_site import REACH_NM, find_metals
from orbmm.kinds import HYDROGENS, find_water_oxygens, is_heavy

TITRATABLE = {
    **dict.fromkeys(("ASP", "ASH", "ASPH", "ASPP"), ("OD1", "OD2")),
    **dict.fromkeys(("GLU", "GLH", "GLUH", "GLUP"), ("OE1", "OE2")),
    **dict.fromkeys(("HIS", "HID", "HIE", "HIP", "HSD", "HSE", "HSP", "HISD", "HISE", "HISH"), ("ND1", "NE2")),
    **dict.fromkeys(("LYS", "LYN", "LYSN", "LSN"), ("NZ",)),
    **dict.fromkeys(("CYS", "CYM", "CYN", "CYSH"), ("SG",)),
    "TYR": ("OH",),
}
_REACH_NM, _NEARER = 0.16, 0.85
_SPECIES = {0: "oxide", 1: "hydroxide", 2: "water", 3: "hydronium"}
_METHOD = (
    "Each of {protons} hydrogens belongs at the start to the atom that the topology bonds it to, "
    "else to the nearest; it hops when another N, O or S "
    "is nearer than 0.85 times the distance to its owner, and stays there for at least {persistence:g} ps. {groups} "
    "titratable groups (side chains of ASP, GLU, HIS, LYS, CYS, TYR). The oxygen on the metal "
    "is the nearest within reach."
)


def compute_protonation(frames: Frames, persistence_ps: float = 0.05) -> Result:
    """Compute protons of titratable groups, charged waters, the oxygen on the metal and proton hops along time.

    frames: a trajectory, in memory or on disk. `hops` are rows of: time [ps], hydrogen, from and to. `protons` (F, G)
    are the protons on each group of `groups`. With a metal, `metal_protons` is the number on the oxygen that is bound
    to it, -1 while none is, and `metal_oxygen` names that oxygen and what it is at the start and at the end.
    Raises NothingToMeasure without a hydrogen on N, O or S.
    """
    topology = frames.topology
    first = next(read_chunks(frames))[0]
    tally = _Tally(topology, _assign_owners(first), persistence_ps)
    if len(tally.hydrogens) == 0:
        raise NothingToMeasure("no hydrogen lies on nitrogen, oxygen or sulfur")
    for chunk in read_chunks(frames):
        for time, positions, box in iterate_frames(chunk):
            tally.add(time, positions, box)
    return tally.collect()


def _assign_owners(frame: md.Trajectory) -> dict[int, int]:
    """Return for each hydrogen that lies on N, O or S, that atom; those on carbon never hop and are left out.

    A bond of the topology counts before a nearer atom: in a structure that is not relaxed another may lie too close.
    """
    elements = np.array([atom.element.symbol for atom in frame.topology.atoms])
    hydrogens = np.flatnonzero(np.isin(elements, HYDROGENS))
    heavy = np.flatnonzero(np.isin(elements, ("B", "C", "N", "O", "F", "Si", "P", "S", "Cl")))
    _, positions, box = next(iterate_frames(frame))
    found = find_pairs(positions[hydrogens], positions[heavy], box, _REACH_NM)
    bonds = {frozenset((first.index, second.index)) for first, second in frame.topology.bonds}
    pairs = zip(hydrogens[found.first].tolist(), heavy[found.second].tolist(), strict=True)
    stated = np.array([frozenset(pair) in bonds for pair in pairs], dtype=bool)
    owners: dict[int, int] = {}
    for row in np.lexsort((found.lengths, ~stated)):  # bonds of the topology first, then the nearest
        owners.setdefault(int(hydrogens[found.first[row]]), int(heavy[found.second[row]]))
    return {hydrogen: owner for hydrogen, owner in sorted(owners.items()) if elements[owner] in ("N", "O", "S")}


@dataclass
class _Tally:
    """Owners of the protons while frames go by."""

    topology: md.Topology
    start: dict[int, int]
    persistence_ps: float
    pending: dict[int, tuple[int, float]] = field(default_factory=dict)  # row of a proton: new owner, since when
    hops: list[list[str]] = field(default_factory=list)
    rows: list[tuple[float, int, int, int]] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    bound: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        atoms, self.names = list(self.topology.atoms), Names(self.topology)
        self.hydrogens = np.array(list(self.start), dtype=np.int64)
        self.owner = np.array(list(self.start.values()), dtype=np.int64)
        self.polar = np.array([atom.index for atom in atoms if atom.element.symbol in ("N", "O", "S")])
        self.water = find_water_oxygens(self.topology)
        self.oxygens = np.array([atom.index for atom in atoms if atom.element.symbol == "O"], dtype=np.int64)
        self.groups = [
            (
                self.names.name_residue(residue),
                [atom.index for atom in residue.atoms if atom.name in TITRATABLE[residue.name]],
            )
            for residue in self.topology.residues
            if residue.name in TITRATABLE
        ]
        self.metal = next(iter(find_metals(self.topology)), None)

    def add(self, time: float, positions: NDArray[np.float64], box: NDArray[np.float64] | None) -> None:
        """Take in a frame; positions: (N, 3) [nm], box: (3, 3) rows [nm] or None."""
        self._move_protons(time, positions, box)
        protons = np.bincount(self.owner, minlength=len(positions))
        self.counts.append(np.array([protons[atoms].sum() for _, atoms in self.groups], dtype=np.int64))
        bound = self._find_bound_oxygen(positions, box)
        self.bound.append(bound)
        on_water = protons[self.water]
        held = int(protons[bound]) if bound >= 0 else -1
        self.rows.append((time, int((on_water == 3).sum()), int((on_water == 1).sum()), held))

    def _move_protons(self, time: float, positions: NDArray[np.float64], box: NDArray[np.float64] | None) -> None:
        own = np.linalg.norm(shorten(positions[self.owner] - positions[self.hydrogens], box), axis=1)
        found = find_pairs(positions[self.hydrogens], positions[self.polar], box, _REACH_NM)
        nearer = (found.lengths < _NEARER * own[found.first]) & (self.polar[found.second] != self.owner[found.first])
        wanted: dict[int, tuple[float, int]] = {}
        for pair in np.flatnonzero(nearer):
            choice = (float(found.lengths[pair]), int(self.polar[found.second[pair]]))
            wanted[int(found.first[pair])] = min(choice, wanted.get(int(found.first[pair]), choice))
        self.pending = {
            row: waiting for row, waiting in self.pending.items() if wanted.get(row, (0.0, -1))[1] == waiting[0]
        }
        for row, (_, target) in wanted.items():
            since = self.pending.setdefault(row, (target, time))[1]
            if time - since >= self.persistence_ps:
                self._hop(row, target, since)

    def _hop(self, row: int, target: int, since: float) -> None:
        names = [self.names.name_atom(int(index)) for index in (self.hydrogens[row], self.owner[row], target)]
        self.hops.append([f"{since:g}", *names])
        self.owner[row] = target
        del self.pending[row]

    def _find_bound_oxygen(self, positions: NDArray[np.float64], box: NDArray[np.float64] | None) -> int:
        """Return the oxygen nearest to the metal and within reach, -1 without one."""
        if self.metal is None:
            return -1
        reach = REACH_NM[self.topology.atom(self.metal).element.symbol][1]
        found = find_pairs(positions[[self.metal]], positions[self.oxygens], box, reach)
        return int(self.oxygens[found.second[np.argmin(found.lengths)]]) if len(found.lengths) else -1

    def collect(self) -> Result:
        """Return all frames as one Result."""
        time, hydronium, hydroxide, held = (np.array(column) for column in zip(*self.rows, strict=True))
        protons = np.array(self.counts, dtype=np.int64).reshape(len(time), len(self.groups))
        values = {
            "time": time,
            "hydronium": hydronium,
            "hydroxide": hydroxide,
            "hydronium_largest": hydronium.max(),
            "hydroxide_start": hydroxide[0],
            "hydroxide_end": hydroxide[-1],
            "hop_count": len(self.hops),
            "unconfirmed": len(self.pending),
            "groups": np.array([[name] for name, _ in self.groups], dtype=str).reshape(-1, 1),
            "protons": protons,
            "hops": np.array(self.hops, dtype=str).reshape(-1, 4),
        }
        for column in np.flatnonzero((protons != protons[:1]).any(axis=0)):
            values[f"protons_{self.groups[column][0]}"] = protons[:, column]
        if self.metal is not None:
            ends = [self._name_bound(self.bound[i], int(held[i])) for i in (0, -1)]
            values |= {"metal_protons": held, "metal_oxygen": np.array(ends)}
        method = _METHOD.format(protons=len(self.start), persistence=self.persistence_ps, groups=len(self.groups))
        return Result.of("protonation", method, "time", values, {"time": "ps"}, len(time))

    def _name_bound(self, oxygen: int, protons: int) -> list[str]:
        """Return the oxygen on the metal and what it is; one of a larger residue is named by that."""
        if oxygen < 0:
            return ["", "no oxygen"]
        atom = self.topology.atom(oxygen)
        heavy = [each for each in atom.residue.atoms if is_heavy(each)]
        return [
            self.names.name_atom(oxygen),
            _SPECIES.get(protons, f"{protons} protons")
            if len(heavy) == 1
            else f"part of {self.names.name_residue(atom.residue)}",
        ]
