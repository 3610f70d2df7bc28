"""Root-mean-square deviation of the solute: does the structure stay?"""

from __future__ import annotations

from collections.abc import Mapping

import mdtraj as md
import numpy as np
from numpy.typing import ArrayLike, NDArray

from orbmm.analysis.geometry.images import Assembler, find_large_molecules
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.geometry import compute_deviation
from orbmm.kinds import find_backbone, find_heavy
from orbmm.units import ANGSTROM_PER_NM

_METHOD = (
    "Root-mean-square deviation of the large molecules of the solute from {reference} after optimal superposition on "
    "the same atoms (Kabsch 1976, in double precision), molecules made whole across the periodic box, {parts}, all "
    "with equal weight."
)
_WORDS = {
    "backbone": "backbone atoms (N, CA, C, O)",
    "heavy_atoms": "heavy atoms",
    "binding_site": "heavy atoms of the binding site",
}
_FEWEST = 3  # atoms that fix a superposition

Groups = Mapping[str, NDArray[np.int64]]


def compute_rmsd(
    frames: Frames, reference: md.Trajectory | None = None, site: NDArray[np.int64] | None = None
) -> Result:
    """Compute RMSD of the backbone (N, CA, C, O), of all heavy atoms of the solute and of its binding site along time
    [Å].

    frames: a trajectory, in memory or on disk, of all atoms.
    reference: one frame of the same atoms; absent, the first frame.
    site: atoms of the binding site, as `find_binding_site` gives them; absent or fewer than three, it is left out.
    Raises NothingToMeasure without a solute, AnalysisError when the reference has other atoms.
    """
    solute = require_large_molecules(frames.topology)
    assembler = Assembler()
    start = assembler.make_whole(_cut_reference(frames, solute, reference))
    groups = choose_groups(start.topology, None if site is None else np.flatnonzero(np.isin(solute, site)))
    references = {name: start.atom_slice(rows) for name, rows in groups.items()}
    times, columns = measure_deviations(frames, groups, references, assembler)
    name = "the first frame" if reference is None else "the reference structure"
    return collect_deviations("rmsd", _METHOD.format(reference=name, parts=name_groups(groups)), times, columns)


def require_large_molecules(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of the large molecules. Raises NothingToMeasure without any."""
    solute = find_large_molecules(topology)
    if len(solute) == 0:
        raise NothingToMeasure("there is no molecule but water")
    return solute


def choose_groups(solute: md.Topology, site: NDArray[np.int64] | None) -> Groups:
    """Return backbone, heavy atoms and binding site as rows of the solute; those of fewer than three atoms are left
    out.
    """
    groups = {
        "backbone": find_backbone(solute),
        "heavy_atoms": find_heavy(solute),
        "binding_site": np.zeros(0, dtype=np.int64) if site is None else site,
    }
    return {name: atoms for name, atoms in groups.items() if len(atoms) >= _FEWEST}


def measure_deviations(
    frames: Frames, groups: Groups, references: Mapping[str, md.Trajectory], assembler: Assembler
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return times (F,) [ps], and of each group the deviation (F,) [Å] from its reference, each superposed by itself.

    groups: rows of the solute. references: one frame of just the atoms of the group, in their order. assembler: that
    has laid the reference, so that frames are laid alike.
    """
    solute = find_large_molecules(frames.topology)
    kept = None if len(solute) == frames.topology.n_atoms else solute  # all atoms are read faster than a choice of all
    times: list[NDArray[np.float64]] = []
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in groups}
    for chunk in read_chunks(frames, kept):
        whole = assembler.make_shape_whole(chunk)
        times.append(read_times(chunk))
        for name, atoms in groups.items():
            deviation = compute_deviation(whole.xyz[:, atoms], references[name].xyz[0])
            parts[name].append(deviation * ANGSTROM_PER_NM)
    return np.concatenate(times), {name: np.concatenate(rows) for name, rows in parts.items()}


def name_groups(groups: Groups) -> str:
    """Return the groups and their sizes in words."""
    return ", ".join(f"{len(atoms)} {_WORDS[name]}" for name, atoms in groups.items())


def collect_deviations(
    name: str, method: str, time_ps: NDArray[np.float64], deviations: Mapping[str, NDArray[np.float64]]
) -> Result:
    """Return the Result of deviations (F,) [Å] along time, each with its mean, largest and last number."""
    values: dict[str, ArrayLike] = {"time": time_ps, **deviations}
    for part, column in deviations.items():
        values |= {f"{part}_mean": column.mean(), f"{part}_largest": column.max(), f"{part}_last": column[-1]}
    return Result.of(name, method, "time", values, dict.fromkeys(values, "angstrom") | {"time": "ps"}, len(time_ps))


def _cut_reference(frames: Frames, solute: NDArray[np.int64], reference: md.Trajectory | None) -> md.Trajectory:
    if reference is None:
        return next(read_chunks(frames, solute))[0]
    if [atom.element for atom in reference.topology.atoms] != [atom.element for atom in frames.topology.atoms]:
        raise AnalysisError(
            f"the reference structure has {reference.n_atoms} atoms and the trajectory {frames.topology.n_atoms}, "
            "or their elements differ; give a structure of the same atoms in the same order"
        )
    return reference[0].atom_slice(solute)
