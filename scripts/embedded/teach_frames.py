"""Label frames with another network, a teacher, in place of quantum chemistry: thirty times cheaper, as good as it is.

    python scripts/embedded/teach_frames.py orb-mini-conservative-inf-xtb frames.npz taught.npz

A direct network needs many frames far from equilibrium to learn the way back; a conservative one that is stable there
shows it. Frames on which the teacher's largest force is beyond what label_frames.py takes are dropped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from label_frames import LARGEST_FORCE

from orbmm.errors import StructureError
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.training.dataset import Frame, read_frames, write_frames


def teach(teacher: Potential, frame: Frame) -> Frame | None:
    """The frame with the teacher's energy [eV] and forces [eV/Å]; None for overlapping atoms or wild forces."""
    try:
        prediction = teacher.predict(frame.atomic_numbers, frame.positions, frame.cell)
    except StructureError:
        return None
    if not np.abs(prediction.forces).max() < LARGEST_FORCE:
        return None
    return replace(frame, energy=prediction.energy, forces=prediction.forces)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--weights", type=Path, help="the teacher's weights; absent: the shipped ones")
    arguments = parser.parse_args()
    teacher = load_model(arguments.teacher, arguments.weights, "cpu", "float32-highest")
    frames = read_frames(arguments.source)
    taught = [done for done in (teach(teacher, frame) for frame in frames) if done is not None]
    print(f"{len(taught)} of {len(frames)} frames labelled")
    write_frames(arguments.target, taught)
