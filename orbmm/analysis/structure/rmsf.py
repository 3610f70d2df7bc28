"""Root-mean-square fluctuation of each residue, beside what the crystal's B-factors say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.chains import list_residues, name_topology_chains, pair_chains
from orbmm.analysis.geometry.images import Assembler, find_large_molecules
from orbmm.analysis.geometry.names import Names
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.geometry import superpose
from orbmm.kinds import find_parent, is_heavy
from orbmm.units import ANGSTROM_PER_NM

BFactors = Mapping[tuple[str, str, int], float]

_METHOD = (
    "Root-mean-square fluctuation of the C-alpha atom of each residue (of its heavy atoms where it has none) about the "
    "mean structure, over {frames} frames from {start:g} ps on, each superposed on that mean by the same {atoms} atoms "
    "(Kabsch 1976, in double precision).{crystal}"
)
_CRYSTAL = " The crystal's value is sqrt(3 B / (8 pi^2)), which holds static disorder and lattice motion as well."


def compute_rmsf(frames: Frames, b_factors: BFactors | None = None, discard_ps: float = 0.0) -> Result:
    """Compute RMSF of each residue of the solute [Å], and the one that B-factors stand for.

    frames: a trajectory, in memory or on disk; it is read twice.
    b_factors: [Å^2] by chain, name of the amino acid and number, as `read_b_factors` gives them. Chains are paired by
        their letters, or in order; one chain of the crystal stands for all copies. Residues without one get NaN.
    Raises NothingToMeasure without a solute or with fewer than two frames, AnalysisError when nothing is kept.
    """
    solute = find_large_molecules(frames.topology)
    if len(solute) == 0:
        raise NothingToMeasure("there is no molecule but water")
    atoms = _choose_atoms(frames.topology, solute)
    if len(atoms) < 3:
        raise NothingToMeasure("fewer than three atoms to lay frames over each other")
    spread, used = _accumulate(_Kept(frames, solute, np.searchsorted(solute, atoms), discard_ps))
    if used < 2:
        raise NothingToMeasure("it takes at least two frames")
    return _collect(frames.topology, atoms, spread, b_factors, (used, discard_ps))


class _Kept:
    """The frames from some time on, matched, of some atoms; `inner` are rows of the solute."""

    def __init__(self, frames: Frames, solute: NDArray[np.int64], inner: NDArray[np.int64], discard_ps: float) -> None:
        self.frames, self.solute, self.inner, self.discard_ps = frames, solute, inner, discard_ps
        self.assembler = Assembler()

    def __iter__(self) -> Iterator[md.Trajectory]:
        for chunk in read_chunks(self.frames, self.solute):
            kept = chunk[read_times(chunk) >= self.discard_ps]
            if kept.n_frames:
                yield self.assembler.make_whole(kept).atom_slice(self.inner)


def _choose_atoms(topology: md.Topology, solute: NDArray[np.int64]) -> NDArray[np.int64]:
    chosen = []
    inside = set(solute.tolist())
    for residue in topology.residues:
        heavy = [atom for atom in residue.atoms if atom.index in inside and is_heavy(atom)]
        chosen += [atom.index for atom in heavy if atom.name == "CA"] or [atom.index for atom in heavy]
    return np.array(chosen, dtype=np.int64)


def _accumulate(kept: _Kept) -> tuple[NDArray[np.float64], int]:
    """Return mean square deviation (A,) [nm^2] of each atom from its mean place, and the number of frames."""
    first, total, used = None, np.zeros((len(kept.inner), 3)), 0
    for chunk in kept:
        first = chunk.xyz[0] if first is None else first
        total, used = total + superpose(chunk.xyz, first).sum(axis=0), used + chunk.n_frames
    if first is None:
        raise AnalysisError(f"no frame is left for the fluctuation from {kept.discard_ps:g} ps on; discard less")
    mean = total / used
    total, square = np.zeros_like(total), np.zeros_like(total)
    for chunk in kept:
        shift = superpose(chunk.xyz, mean) - mean
        total, square = total + shift.sum(axis=0), square + (shift**2).sum(axis=0)
    return np.asarray(square / used - (total / used) ** 2).sum(axis=1), used


def _collect(
    topology: md.Topology,
    atoms: NDArray[np.int64],
    spread: NDArray[np.float64],
    b_factors: BFactors | None,
    frames: tuple[int, float],
) -> Result:
    owners = np.array([topology.atom(int(index)).residue.index for index in atoms])
    numbers, names = np.unique(owners), Names(topology)
    residues = [topology.residue(int(number)) for number in numbers]
    rmsf = np.array([math.sqrt(max(0.0, spread[owners == number].mean())) for number in numbers]) * ANGSTROM_PER_NM
    values = {
        "residue": np.array([residue.resSeq for residue in residues]),
        "name": np.array([names.name_residue(residue) for residue in residues]),
        "rmsf": rmsf,
        "rmsf_mean": rmsf.mean(),
        "rmsf_largest": rmsf.max(),
    }
    chains = [names.name_chain(residue) for residue in residues]
    if len(set(chains)) > 1:
        values["chain"] = np.array(chains)
    if b_factors is not None:
        factors = _match_b_factors(topology, residues, b_factors)
        values["crystal"] = np.sqrt(3.0 * factors / (8.0 * math.pi**2))
        known = np.isfinite(factors)
        values["crystal_residues"] = known.sum()
        values["correlation"] = _correlate(rmsf[known], values["crystal"][known])
    units = {name: "angstrom" if name.startswith(("rmsf", "crystal")) else "" for name in values}
    units |= {"crystal_residues": ""} if b_factors is not None else {}
    method = _METHOD.format(
        frames=frames[0], start=frames[1], atoms=len(atoms), crystal=_CRYSTAL if b_factors is not None else ""
    )
    return Result.of("rmsf", method, "residue", values, units, frames[0])


def _correlate(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Pearson's coefficient of two series, NaN for fewer than three values or a series that does not vary."""
    if len(one) <= 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def _match_b_factors(
    topology: md.Topology, residues: list[md.core.topology.Residue], b_factors: BFactors
) -> NDArray[np.float64]:
    """Return the B-factor of each residue (R,) [Å^2], NaN where there is none."""
    others: dict[str, set[tuple[str, int]]] = {}
    for chain, name, number in b_factors:
        others.setdefault(chain, set()).add((name, number))
    names, pairs = name_topology_chains(topology), pair_chains(list_residues(topology), others, several=True)
    partners = [pairs.get(names[residue.chain.index], "") for residue in residues]
    return np.array(
        [
            b_factors.get((partner, find_parent(residue.name), residue.resSeq), math.nan)
            for partner, residue in zip(partners, residues, strict=True)
        ]
    )
