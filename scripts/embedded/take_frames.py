"""Take frames of a run, evenly spread, to be labelled: how good is a network where its own dynamics goes?

python scripts/embedded/take_frames.py --run runs/long --to own.npz --frames 12 --group held-own-conservative
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mdtraj
import numpy as np

from orbmm.training.dataset import Frame, write_frames
from orbmm.units import ANGSTROM_PER_NM


def take_frames(run: Path, count: int, group: str, discard_ps: float) -> list[Frame]:
    """Frames after the first discard_ps, at equal distances in time."""
    trajectory = mdtraj.load(run / "trajectory.xtc", top=run / "topology.pdb")
    usable = np.flatnonzero(trajectory.time >= discard_ps)
    chosen = usable[np.linspace(0, len(usable) - 1, count).round().astype(int)]
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--group", required=True)
    parser.add_argument("--discard-ps", type=float, default=2.0)
    arguments = parser.parse_args()
    write_frames(arguments.to, take_frames(arguments.run, arguments.frames, arguments.group, arguments.discard_ps))
