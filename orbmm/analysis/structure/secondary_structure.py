"""Secondary structure along time: do helices and strands stay?"""

from __future__ import annotations

from functools import partial

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import Assembler
from orbmm.analysis.geometry.names import Names
from orbmm.analysis.pieces import Piece, map_frames
from orbmm.analysis.reading.frames import Frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import has_backbone, is_amino_acid

_FEWEST_RESIDUES = 4
_CODES = {"helix": "H", "strand": "E", "coil": "C"}
_METHOD = (
    "DSSP by hydrogen bonds (Kabsch and Sander 1983, as in mdtraj), in three classes: helix (H, G, I), strand (E, B) "
    "and coil (the rest), over the {residues} amino acids of the topology."
)


def compute_secondary_structure(frames: Frames) -> Result:
    """Compute fraction of residues in helix, strand and coil along time, and the fraction of time that each residue
    is in them.

    frames: a trajectory, in memory or on disk.
    Raises NothingToMeasure for fewer than four amino acids: the shortest turn of a helix.
    """
    atoms = _find_protein(frames.topology)
    complete = _count_complete(frames.topology)
    if complete < _FEWEST_RESIDUES:
        raise NothingToMeasure(
            f"{complete} amino acid{'' if complete == 1 else 's'}; it takes at least {_FEWEST_RESIDUES}"
        )
    times, rows, per_residue, used, assembler = [], [], 0.0, 0, Assembler()
    chunks = (assembler.make_whole(chunk) for chunk in read_chunks(frames, atoms))
    classify = partial(_classify, topology=frames.topology.subset(atoms))
    for time, present in map_frames(frames, classify, chunks):
        known = present.any(axis=2).sum(axis=1)
        times.append(time)
        rows.append(present.sum(axis=1) / known[:, None])
        per_residue, used = per_residue + present.sum(axis=0), used + len(time)
    fractions = np.concatenate(rows)
    values = {
        "time": np.concatenate(times),
        **{name: fractions[:, i] for i, name in enumerate(_CODES)},
        **{f"{name}_mean": fractions[:, i].mean() for i, name in enumerate(_CODES)},
        **{f"{name}_start": fractions[0, i] for i, name in enumerate(_CODES)},
        **{f"{name}_last": fractions[-1, i] for i, name in enumerate(_CODES)},
        "per_residue": per_residue / used,
        "residue_names": _name_residues(frames.topology),
    }
    units = {"time": "ps"}
    return Result.of("secondary_structure", _METHOD.format(residues=complete), "time", values, units, used)


def _classify(piece: Piece, topology: md.Topology) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return times (F,) [ps], and whether each residue is in each class (F, R, 3): nowhere for caps."""
    codes = md.compute_dssp(md.Trajectory(piece.xyz, topology), simplified=True)  # (F, R), "NA" for caps
    return piece.times, np.stack([codes == code for code in _CODES.values()], axis=2)


def _find_protein(topology: md.Topology) -> NDArray[np.int64]:
    """Return the atoms of the amino acids, modified ones and caps included; DSSP leaves out what has no backbone."""
    chosen = [atom.index for residue in topology.residues if is_amino_acid(residue) for atom in residue.atoms]
    return np.array(chosen, dtype=np.int64)


def _name_residues(topology: md.Topology) -> NDArray[np.str_]:
    names = Names(topology)
    return np.array([[names.name_residue(residue)] for residue in topology.residues if is_amino_acid(residue)])


def _count_complete(topology: md.Topology) -> int:
    """Return the number of residues with N, CA, C and O, which DSSP can speak of."""
    return sum(has_backbone(residue) for residue in topology.residues)
