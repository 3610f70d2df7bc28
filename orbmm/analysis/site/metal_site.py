"""The site of a metal ion: its ligands, their distances and angles, and how they come and go."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs, shorten
from orbmm.analysis.reading.frames import Frames, iterate_frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.units import ANGSTROM_PER_NM

_SMALL, _LARGE = (0.24, 0.28), (0.28, 0.32)
REACH_NM = {
    **dict.fromkeys(("Zn", "Cu", "Ni", "Co", "Fe", "Mn", "Mg"), _SMALL),
    **dict.fromkeys(("Ca", "Cd", "Hg"), _LARGE),
}
"""For each metal: an atom becomes a ligand when nearer than the first distance, and is one until beyond the second."""
_DONORS = ("N", "O", "S", "Cl")
_METHOD = (
    "Ligands of {metal}: N, O, S or Cl from when they come nearer than {near:g} Å "
    "until they are beyond {far:g}. "
    "Tetrahedral order 1 - 3/8 sum (cos + 1/3)^2 of the four nearest that are ever ligands (Chau and Hardwick 1998): 1 "
    "in a tetrahedron.{others}"
)


def find_metals(topology: md.Topology) -> list[int]:
    """Return the atoms of the topology that are metal ions with ligands; sodium and potassium are not among them."""
    return [atom.index for atom in topology.atoms if atom.element.symbol in REACH_NM]


def compute_metal_site(frames: Frames, metal: int | None = None) -> Result:
    """Compute coordination number, distances [Å], angles and tetrahedral order of a metal site along time, and ligand
    exchange.

    frames: a trajectory, in memory or on disk; it is read twice. metal: atom index; absent, the first metal.
    Values: a column `distance_LIGAND` for each atom that is ever a ligand, `ligands_start` and `ligands_end`, their
    mean angles (L, L) at the metal [degrees], and `exchanges`, rows of time [ps], "gained" or "lost", and the ligand.
    Raises NothingToMeasure when there is no metal.
    """
    metals = find_metals(frames.topology)
    if not metals:
        raise NothingToMeasure("the topology has no Zn, Cu, Ni, Co, Fe, Mn, Mg, Ca, Cd or Hg")
    metal = metals[0] if metal is None else metal
    symbol = frames.topology.atom(metal).element.symbol
    donors = np.array([atom.index for atom in frames.topology.atoms if atom.element.symbol in _DONORS], dtype=np.int64)
    shell = _follow_shell(frames, metal, donors, REACH_NM[symbol])
    names = _name_atoms(frames.topology, donors, sorted(shell.ever))
    geometry = _measure_geometry(frames, metal, donors[sorted(shell.ever)])
    others = f" {len(metals) - 1} further metals are not looked at here." if len(metals) > 1 else ""
    near, far = (ANGSTROM_PER_NM * reach for reach in REACH_NM[symbol])
    method = _METHOD.format(metal=frames.topology.atom(metal), near=near, far=far, others=others)
    return _collect(shell, geometry, names, method)


@dataclass
class _Shell:
    """Ligands, as rows of the donors, while frames go by."""

    held: set[int] = field(default_factory=set)
    ever: set[int] = field(default_factory=set)
    first: set[int] = field(default_factory=set)
    exchanges: list[tuple[float, str, int]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    coordination: list[int] = field(default_factory=list)

    def add(self, time: float, near: set[int], within: set[int]) -> None:
        """Take in a frame: atoms nearer than the first distance, and those nearer than the second."""
        now = near | (self.held & within)
        if not self.times:
            self.first = set(now)
        else:
            self.exchanges += [(time, "lost", row) for row in sorted(self.held - now)]
            self.exchanges += [(time, "gained", row) for row in sorted(now - self.held)]
        self.held = now
        self.ever |= now
        self.times.append(time)
        self.coordination.append(len(now))


def _follow_shell(frames: Frames, metal: int, donors: NDArray[np.int64], reach: tuple[float, float]) -> _Shell:
    shell = _Shell()
    atoms = np.sort(np.append(donors, metal))
    centre, rows = np.searchsorted(atoms, metal), np.searchsorted(atoms, donors)
    for chunk in read_chunks(frames, atoms):
        for time, positions, box in iterate_frames(chunk):
            found = find_pairs(positions[centre][None], positions[rows], box, reach[1])
            near = found.second[found.lengths < reach[0]]
            shell.add(time, set(near.tolist()), set(found.second.tolist()))
    return shell


@dataclass(frozen=True)
class _Geometry:
    """distances: (F, L) [nm]; cosines: (L, L) mean cosine at the metal; order: (F,), NaN below four ligands."""

    distances: NDArray[np.float64]
    angles: NDArray[np.float64]
    order: NDArray[np.float64]


def _measure_geometry(frames: Frames, metal: int, ligands: NDArray[np.int64]) -> _Geometry:
    atoms = np.sort(np.append(ligands, metal))
    centre, rows = np.searchsorted(atoms, metal), np.searchsorted(atoms, ligands)
    distances, orders, angles, used = [], [], np.zeros((len(ligands), len(ligands))), 0
    for chunk in read_chunks(frames, atoms):
        for _, positions, box in iterate_frames(chunk):
            arms = shorten(positions[rows] - positions[centre], box)
            lengths = np.linalg.norm(arms, axis=1)
            cosines = np.clip((arms / lengths[:, None]) @ (arms / lengths[:, None]).T, -1.0, 1.0)
            distances.append(lengths)
            orders.append(_measure_order(cosines, np.argsort(lengths)[:4]))
            angles += np.degrees(np.arccos(cosines))
            used += 1
    return _Geometry(np.array(distances).reshape(used, len(ligands)), angles / used, np.array(orders))


def _measure_order(cosines: NDArray[np.float64], nearest: NDArray[np.int64]) -> float:
    if len(nearest) < 4:
        return float("nan")
    return 1.0 - 3.0 / 8.0 * sum((cosines[j, k] + 1.0 / 3.0) ** 2 for j, k in combinations(nearest.tolist(), 2))


def _name_atoms(topology: md.Topology, donors: NDArray[np.int64], rows: list[int]) -> dict[int, str]:
    """Return a name for each ligand, with its atom number where two have the same."""
    called = Names(topology)
    names = {row: called.name_atom(int(donors[row])) for row in rows}
    plain = list(names.values())
    return {row: name if plain.count(name) == 1 else f"{name}#{donors[row]}" for row, name in names.items()}


def _collect(shell: _Shell, geometry: _Geometry, names: dict[int, str], method: str) -> Result:
    columns = {f"distance_{name}": geometry.distances[:, i] * ANGSTROM_PER_NM for i, name in enumerate(names.values())}
    finite = geometry.order[np.isfinite(geometry.order)]
    values: dict[str, Any] = {
        "time": shell.times,
        "coordination": shell.coordination,
        "order": geometry.order,
        **columns,
        "coordination_mean": np.mean(shell.coordination),
        "order_mean": finite.mean() if len(finite) else np.nan,
        **{f"{name}_mean": column.mean() for name, column in columns.items()},
        "exchange_events": len(shell.exchanges),
        "ligands_start": _make_rows([[names[row]] for row in sorted(shell.first)], 1),
        "ligands_end": _make_rows([[names[row]] for row in sorted(shell.held)], 1),
        "ligands_ever": _make_rows([[name] for name in names.values()], 1),
        "angles": geometry.angles,
        "exchanges": _make_rows([[f"{time:g}", what, names[row]] for time, what, row in shell.exchanges], 3),
    }
    units = {name: "angstrom" if name.startswith("distance_") else "" for name in values}
    units |= {"time": "ps", "angles": "degrees"}
    return Result.of("metal_site", method, "time", values, units, len(shell.times))


def _make_rows(rows: list[list[str]], width: int) -> NDArray[Any]:
    return np.array(rows, dtype=str).reshape(-1, width)
