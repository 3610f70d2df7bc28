"""Label frames with GFN1-xTB energies and forces (tblite), resumable, on several cores.

    python scripts/embedded/label_frames.py frames.npz labelled.npz --workers 2

Chunks already labelled beside the output file are kept, so the command may be stopped and repeated.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one frame a core beats one frame on all cores

import numpy as np
from tblite.interface import Calculator

from orbmm.training.dataset import Frame, read_frames, write_frames
from orbmm.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

FRAMES_PER_CHUNK = 20
LARGEST_FORCE = 30.0  # eV/Å; beyond it a frame teaches the collision, not the liquid


def label(frame: Frame) -> Frame | None:
    """The frame with its GFN1-xTB energy [eV] and forces [eV/Å]; None when the charges do not converge."""
    periodic = {} if frame.cell is None else {"lattice": frame.cell / ANGSTROM_PER_BOHR, "periodic": np.ones(3, bool)}
    calculator = Calculator("GFN1-xTB", frame.atomic_numbers, frame.positions / ANGSTROM_PER_BOHR, **periodic)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", 0.1)
    try:
        result = calculator.singlepoint()
    except RuntimeError:
        return None
    forces = -result.get("gradient") * EV_PER_HARTREE / ANGSTROM_PER_BOHR
    if not np.isfinite(forces).all() or np.abs(forces).max() > LARGEST_FORCE:
        return None
    return replace(frame, energy=float(result.get("energy")) * EV_PER_HARTREE, forces=forces)


def label_chunk(frames: list[Frame], path: Path) -> int:
    """Label one chunk into its own file; returns how many frames were dropped."""
    labelled = [done for done in map(label, frames) if done is not None]
    if labelled:
        write_frames(path, labelled)
    return len(frames) - len(labelled)


def label_file(source: Path, target: Path, workers: int) -> None:
    """Label every frame of source; the result is in target when all chunks are done."""
    frames = read_frames(source)
    order = np.random.default_rng(0).permutation(len(frames))  # so that any prefix is a fair sample
    frames = [frames[index] for index in order]
    folder = target.with_suffix(".chunks")
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [frames[start : start + FRAMES_PER_CHUNK] for start in range(0, len(frames), FRAMES_PER_CHUNK)]
    paths = [folder / f"{index:05d}.npz" for index in range(len(chunks))]
    began = time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(label_chunk, chunk, path)
            for chunk, path in zip(chunks, paths, strict=True)
            if not path.exists()
        ]
        dropped = 0
        for number, job in enumerate(jobs, start=1):
            dropped += job.result()
            print(
                f"{number}/{len(jobs)} chunks, {dropped} frames dropped, {time.monotonic() - began:.0f} s", flush=True
            )
    write_frames(target, [frame for path in paths if path.exists() for frame in read_frames(path)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    label_file(arguments.source, arguments.target, arguments.workers)
