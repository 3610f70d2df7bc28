"""Root-mean-square deviation of the solute: does the structure stay?"""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.frames import Frames, read_chunks, read_times
from orbmm.analysis.images import find_solute, mend_images
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError
from orbmm.units import ANGSTROM_PER_NM

_METHOD = (
    "Root-mean-square deviation of the solute from {reference} after optimal superposition on the same atoms "
    "(mdtraj), molecules made whole across the periodic box, {parts}, all with equal weight."
)
_WORDS = {"backbone": "backbone atoms (N, CA, C, O)", "heavy_atoms": "heavy atoms"}


def compute_rmsd(frames: Frames, reference: md.Trajectory | None = None) -> Result:
    """RMSD of the backbone (N, CA, C, O) and of all heavy atoms of the solute along time [Å].

    frames: a trajectory, in memory or on disk, of all atoms.
    reference: one frame of the same atoms; absent, the first frame.
    Raises NothingToMeasure without a solute, AnalysisError when the reference has other atoms.
    """
    solute = find_solute(frames.topology)
    if len(solute) == 0:
        raise NothingToMeasure("no RMSD: there is no molecule but water")
    start = _cut_reference(frames, solute, reference)
    groups = _choose_groups(start.topology)
    times, deviations = [], []
    for chunk in read_chunks(frames, solute):
        whole = mend_images(chunk)
        times.append(read_times(chunk))
        deviations.append([md.rmsd(whole, start, atom_indices=atoms) for atoms in groups.values()])
    columns = dict(zip(groups, np.concatenate(deviations, axis=1) * ANGSTROM_PER_NM, strict=True))
    name = "the first frame" if reference is None else "the reference structure"
    return _collect(np.concatenate(times), columns, groups, name)


def _cut_reference(frames: Frames, solute: NDArray[np.int64], reference: md.Trajectory | None) -> md.Trajectory:
    if reference is None:
        return mend_images(next(read_chunks(frames, solute))[0])
    if [atom.element for atom in reference.topology.atoms] != [atom.element for atom in frames.topology.atoms]:
        raise AnalysisError(
            f"the reference structure has {reference.n_atoms} atoms and the trajectory {frames.topology.n_atoms}, "
            "or their elements differ; give a structure of the same atoms in the same order"
        )
    return mend_images(reference[0].atom_slice(solute))


def _choose_groups(solute: md.Topology) -> dict[str, NDArray[np.int64]]:
    groups = {
        "backbone": solute.select("backbone"),
        "heavy_atoms": np.array([atom.index for atom in solute.atoms if atom.element.symbol not in ("H", "D", "VS")]),
    }
    return {name: atoms for name, atoms in groups.items() if len(atoms) >= 3}


def _collect(
    time_ps: NDArray[np.float64],
    columns: dict[str, NDArray[np.float64]],
    groups: dict[str, NDArray[np.int64]],
    reference: str,
) -> Result:
    values = {"time": time_ps, **columns}
    units = {"time": "ps", **dict.fromkeys(columns, "angstrom")}
    for name, column in columns.items():
        values |= {f"{name}_mean": column.mean(), f"{name}_largest": column.max(), f"{name}_last": column[-1]}
        units |= dict.fromkeys((f"{name}_mean", f"{name}_largest", f"{name}_last"), "angstrom")
    parts = " and ".join(f"{len(atoms)} {_WORDS[name]}" for name, atoms in groups.items())
    return Result("rmsd", _METHOD.format(reference=reference, parts=parts), "time", values, units, len(time_ps))
