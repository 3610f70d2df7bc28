"""Label a file of frames in several processes; a labelling that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from orbmm.errors import TrainingError
from orbmm.files import make_folder
from orbmm.training.data.frames import Frame, hash_frames, read_frames, write_frames
from orbmm.training.data.writing import write_any
from orbmm.training.labels.labellers import Labeller, make_labeller

FRAMES_PER_PART = 20
LARGEST_FORCE_EV_ANGSTROM = 30.0
"""Frames with a larger force are left out: they teach the collision, not the liquid."""


@dataclass(frozen=True)
class Labelling:
    """The progress of a labelling: frames that are done, left out, and all."""

    done: int
    left_out: int
    total: int


def label_frames(frames: Sequence[Frame], labeller: Labeller, largest_force: float) -> list[Frame]:
    """Return the frames that get labels with forces up to the largest [eV/Å]."""
    labelled = []
    for frame in frames:
        labels = labeller(frame)
        if labels is not None and np.abs(labels.forces).max(initial=0.0) <= largest_force:  # NaN is not
            labelled.append(replace(frame, energy=labels.energy, forces=labels.forces, stress=labels.stress))
    return labelled


def label_file(
    frames: Sequence[Frame],
    target: Path,
    calculator: str,
    workers: int = 1,
    largest_force: float = LARGEST_FORCE_EV_ANGSTROM,
    on_progress: Callable[[Labelling], None] = lambda progress: None,
) -> Labelling:
    """Label all frames in several processes; the result is in the target, .npz or .extxyz.

    Parts that are done stay beside the target until the end, so the call may be stopped and repeated.
    Raises TrainingError if no frame gets labels, or parts there belong to other frames or another calculator.
    """
    order = np.random.default_rng(0).permutation(len(frames))  # so that any beginning is a fair sample
    shuffled = [frames[index] for index in order]
    parts = [shuffled[begin : begin + FRAMES_PER_PART] for begin in range(0, len(shuffled), FRAMES_PER_PART)]
    folder = _open_parts(target, frames, calculator, largest_force)
    paths = [folder / f"{index:05d}.npz" for index in range(len(parts))]
    left = {path: part for path, part in zip(paths, parts, strict=True) if not path.exists()}
    progress = Labelling(0, 0, len(frames))
    for path, part in zip(paths, parts, strict=True):
        if path not in left:
            progress = _advance(progress, part, path)
    on_progress(progress)
    for path in _label_parts(left, calculator, workers, largest_force):
        progress = _advance(progress, left[path], path)
        on_progress(progress)
    labelled = _restore_order([frame for path in paths for frame in _read_part(path)], frames)
    if not labelled:
        raise TrainingError(f"{calculator} found labels for none of {len(frames)} frames: look at one of them by hand")
    write_any(target, labelled)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return progress


def _open_parts(target: Path, frames: Sequence[Frame], calculator: str, largest_force: float) -> Path:
    """Return the folder of the parts, whose name holds what they are of: other frames have another one."""
    bare = [replace(frame, energy=None, forces=None, stress=None) for frame in frames]
    text = f"{hash_frames(bare)} {calculator} {largest_force!r}"
    folder = target.with_name(f"{target.name}.{hashlib.sha256(text.encode()).hexdigest()[:12]}.parts")
    make_folder(folder)
    return folder


def _label_parts(left: dict[Path, list[Frame]], calculator: str, workers: int, largest_force: float) -> Any:
    """Yield the path of each part as it is done."""
    if workers == 1:
        labeller = make_labeller(calculator)
        for path, part in left.items():
            write_part(path, label_frames(part, labeller, largest_force))
            yield path
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _begin_worker, (calculator,)) as pool:
            jobs = {pool.submit(_label_part, path, part, largest_force): path for path, part in left.items()}
            for job in as_completed(jobs):
                job.result()
                yield jobs[job]
    except BrokenProcessPool as error:
        raise TrainingError("a worker died, perhaps for lack of memory: take fewer --workers and repeat") from error


_LABELLER: list[Labeller] = []  # of this worker


def _begin_worker(calculator: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _LABELLER.append(make_labeller(calculator))


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _label_part(path: Path, part: list[Frame], largest_force: float) -> None:
    write_part(path, label_frames(part, _LABELLER[0], largest_force))


def write_part(path: Path, labelled: list[Frame]) -> None:
    """Write the labelled frames of a part; an empty file where none got labels."""
    if labelled:
        write_frames(path, labelled)
    else:
        path.touch()


def _read_part(path: Path) -> list[Frame]:
    return read_frames(path) if path.stat().st_size else []


def _restore_order(labelled: list[Frame], frames: Sequence[Frame]) -> list[Frame]:
    """Return labelled frames in the order of the frames given: of a trajectory, the later ones are held out."""
    numbers: dict[bytes, int] = {}
    for number, frame in enumerate(frames):
        numbers.setdefault(_name_structure(frame), number)
    return sorted(labelled, key=lambda frame: numbers[_name_structure(frame)])


def _name_structure(frame: Frame) -> bytes:
    parts = (frame.atomic_numbers, frame.positions, frame.cell)
    return b"".join(b"absent" if part is None else np.ascontiguousarray(part).tobytes() for part in parts)


def _advance(progress: Labelling, part: list[Frame], path: Path) -> Labelling:
    found = len(_read_part(path))
    return replace(progress, done=progress.done + found, left_out=progress.left_out + len(part) - found)
