"""Take frames of a run to be labelled: how good is a network where its own dynamics goes, and what must it still learn?

    python scripts/embedded/take_frames.py --run runs/long --to own.npz --frames 12 --group held-own-conservative
    python scripts/embedded/take_frames.py --run runs/long --to folded.npz --frames 200 --group drop-own --folded

Whole frames evenly spread, or with --folded drops of water around waters that have folded up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mdtraj
import numpy as np

from orbmm.training.data.frames import Frame, write_frames
from orbmm.units import ANGSTROM_PER_NM

FOLDED_BELOW = 85.0  # degrees, H-O-H; at 300 K a water stays above 90
WATERS_OF_A_DROP = 10
SEED = 1


def take_frames(trajectory: mdtraj.Trajectory, count: int, group: str) -> list[Frame]:
    """Whole frames at equal distances in time."""
    chosen = np.linspace(0, len(trajectory) - 1, count).round().astype(int)
    atoms = list(trajectory.topology.atoms)
    return [
        Frame(
            atomic_numbers=np.array([atom.element.atomic_number for atom in atoms]),
            positions=trajectory.xyz[index].astype(np.float64) * ANGSTROM_PER_NM,
            cell=trajectory.unitcell_vectors[index].astype(np.float64) * ANGSTROM_PER_NM,
            peptide=np.array([not atom.residue.is_water for atom in atoms]),
            group=f"{group}-{index}",
        )
        for index in chosen
    ]


def take_folded_drops(trajectory: mdtraj.Trajectory, count: int, group: str) -> list[Frame]:
    """Up to count drops, each a folded water and its nearest waters, at random over frames and waters."""
    waters = np.array(
        [[atom.index for atom in residue.atoms] for residue in trajectory.topology.residues if residue.is_water]
    )
    angles = np.degrees(mdtraj.compute_angles(trajectory, waters[:, [1, 0, 2]], periodic=True))
    folded = np.argwhere(angles < FOLDED_BELOW)  # (m, 2): frame, water
    chosen = np.random.default_rng(SEED).permutation(folded)[:count]
    return [_cut_drop(trajectory[frame], waters, water, f"{group}-{frame}") for frame, water in chosen]


def _cut_drop(frame: mdtraj.Trajectory, waters: np.ndarray, center: int, group: str) -> Frame:
    """One water and its nearest ones as they lie around it, without a cell; waters: (w, 3) atoms, oxygen first."""
    oxygens = waters[:, 0]
    pairs = np.stack([np.full_like(oxygens, oxygens[center]), oxygens], axis=1)
    to_oxygen = mdtraj.compute_displacements(frame, pairs, periodic=True)[0]  # (w, 3) [nm], the nearest image
    nearest = np.argsort(np.linalg.norm(to_oxygen, axis=1))[:WATERS_OF_A_DROP]
    bonds = np.stack([waters[:, [0, 0]], waters[:, 1:]], axis=-1)  # (w, 2, 2)
    to_hydrogen = mdtraj.compute_displacements(frame, bonds.reshape(-1, 2), periodic=True)[0].reshape(-1, 2, 3)
    drop = to_oxygen[nearest, None] + np.concatenate([np.zeros((len(nearest), 1, 3)), to_hydrogen[nearest]], axis=1)
    return Frame(
        atomic_numbers=np.tile([8, 1, 1], len(nearest)),
        positions=drop.reshape(-1, 3) * ANGSTROM_PER_NM,
        cell=None,
        peptide=np.zeros(3 * len(nearest), bool),
        group=group,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--group", required=True)
    parser.add_argument("--folded", action="store_true", help="drops around folded waters instead of whole frames")
    parser.add_argument("--discard-ps", type=float, default=2.0)
    arguments = parser.parse_args()
    trajectory = mdtraj.load(arguments.run / "trajectory.xtc", top=arguments.run / "topology.pdb")
    trajectory = trajectory[trajectory.time >= arguments.discard_ps]
    take = take_folded_drops if arguments.folded else take_frames
    write_frames(arguments.to, take(trajectory, arguments.frames, arguments.group))
