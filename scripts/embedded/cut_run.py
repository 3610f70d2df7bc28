"""Cut fragments out of a run, so that the frames of its own dynamics can be labelled and learned.

    python scripts/embedded/cut_run.py runs/chignolin training-data/own-chignolin.npz --frames 12 --each 8
    python scripts/embedded/cut_run.py runs/chignolin training-data/broken.npz --rescued --around 1 10

Frames evenly spread over the run, or with --rescued those that the guard kept before the run broke. Of each frame so
many residues and ions are drawn at random, or those with the numbers that --around names are taken; a water counts
only with --around. Label the fragments with `orbmm label`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import mdtraj
import numpy as np
from join_frames import drop_repeated
from openmm import app

from orbmm.preparation.residues import is_water
from orbmm.training.data.fragments import FragmentSource
from orbmm.training.data.frames import Frame, write_frames
from orbmm.units import ANGSTROM_PER_NM

SEED = 1


def load_frames(run: Path, count: int, rescued: bool) -> mdtraj.Trajectory:
    """Return frames of a run at equal distances in time, or all good ones that its guard rescued."""
    top = mdtraj.load_topology(str(run / "topology.pdb"))
    if rescued:
        return mdtraj.load([str(path) for path in sorted(run.glob("rescue/*/good-*.pdb"))], top=top)
    trajectory = mdtraj.load(str(run / "trajectory.xtc"), top=top)
    return trajectory[np.linspace(0, len(trajectory) - 1, count).round().astype(int)]


def cut_frames(
    source: FragmentSource, frames: mdtraj.Trajectory, group: str, each: int, around: list[int]
) -> Iterator[Frame]:
    """Return the fragments, each named after the frame it is of; around: numbers of residues, from 1 in the file."""
    solute = [residue.index for residue in source.residues if not is_water(residue)]
    generator = np.random.default_rng(SEED)
    for number, frame in enumerate(frames):
        whole = frame.make_molecules_whole() if frame.topology.n_bonds else frame
        positions = ANGSTROM_PER_NM * whole.xyz[0].astype(np.float64)
        cell = ANGSTROM_PER_NM * whole.unitcell_vectors[0].astype(np.float64)
        chosen = [index - 1 for index in around] or generator.choice(solute, min(each, len(solute)), replace=False)
        for center in chosen:
            fragment = source.cut(positions, cell, int(center))
            name = fragment.group.rsplit("-", 1)[0]
            yield dataclasses.replace(fragment, group=f"{group}-{name}-{center}-{number}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--each", type=int, default=8, help="fragments of a frame")
    parser.add_argument("--rescued", action="store_true", help="the frames that the guard kept")
    parser.add_argument("--around", type=int, nargs="+", default=[], help="numbers of residues in the file, from 1")
    arguments = parser.parse_args()
    prepared = app.PDBFile(str(arguments.run / "input" / "structure.pdb"))
    name = f"own-{arguments.run.name}"
    chosen = load_frames(arguments.run, arguments.frames, arguments.rescued)
    cut = list(cut_frames(FragmentSource.of(prepared.topology), chosen, name, arguments.each, arguments.around))
    different = drop_repeated(cut)  # two centers may cut the same
    write_frames(arguments.target, different)
    print(f"written: {arguments.target} with {len(different)} fragments of {len(chosen)} frames")
