"""Push ions and metals towards their neighbours in frames that exist: what no dynamics shows, and a network must repel.

    python scripts/embedded/push_ions.py ions.npz --frames training-data/salt.npz training-data/complexes.npz

Without such frames a network has holes there: in a first run of chignolin a sodium went to 1.1 Å of a water's oxygen.
From each frame that is drawn one ion moves straight towards one of its nearest atoms. Labels are to be made anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from orbmm.geometry import take_nearest
from orbmm.training.data.frames import Frame, read_frames, write_frames

IONS = {11: "na", 17: "cl", 30: "zn"}
NEAREST = 8  # atoms, of which one is drawn
CLOSEST = {1: 1.0, 17: 1.8, 16: 1.7}  # [Å] of the pushed atom to an element; 1.3 to all others
MOST_ATTEMPTS = 200  # for each frame that is wanted
LEAST_TO_OTHERS = 0.9  # [Å] of the pushed atom to those beside its way


def push(frame: Frame, ion: int, generator: np.random.Generator) -> Frame | None:
    """Return a frame whose ion is nearer to one of its neighbours; None where another atom is in the way."""
    steps = wrap(frame.positions - frame.positions[ion], frame.cell)
    distances = np.linalg.norm(steps, axis=1)
    neighbour = int(generator.choice(np.argsort(distances)[1 : NEAREST + 1]))
    closest = CLOSEST.get(int(frame.atomic_numbers[neighbour]), 1.3)
    if distances[neighbour] <= closest:
        return None
    left = generator.uniform(closest, distances[neighbour])
    move = steps[neighbour] * (1.0 - left / distances[neighbour])
    beside = np.linalg.norm(wrap(steps - move, frame.cell), axis=1)
    beside[ion] = np.inf
    if beside.min() < min(LEAST_TO_OTHERS, left):
        return None
    positions = np.array(frame.positions)
    positions[ion] += move
    kind = IONS[int(frame.atomic_numbers[ion])]
    return replace(frame, positions=positions, group=f"pushed-{kind}", energy=None, forces=None, stress=None)


def wrap(steps: np.ndarray, cell: np.ndarray | None) -> np.ndarray:
    """Return steps (..., 3) [Å] to the nearest image."""
    return steps if cell is None else take_nearest(steps.reshape(-1, 3), cell).reshape(steps.shape)


def draw(make: Callable[[int], Frame | None], count: int, lacking: str) -> Iterator[Frame]:
    """Yield so many frames.

    make: called with their number so far; it returns None where there is no room. lacking: said if that is too often
    """
    done = 0
    for _ in range(MOST_ATTEMPTS * count):
        if done == count:
            return
        pushed = make(done)
        if pushed is not None:
            done += 1
            yield pushed
    if done < count:
        raise SystemExit(f"only {done} of {count} frames {lacking}: give other frames")


def push_some(frames: Sequence[Frame], count: int, seed: int) -> Iterator[Frame]:
    """Yield so many frames, each from a frame drawn at random; each element gets its share where frames hold it."""
    generator = np.random.default_rng(seed)
    holders = {number: [frame for frame in frames if number in frame.atomic_numbers] for number in IONS}
    present = [number for number, found in holders.items() if found]
    if not present:
        raise SystemExit("no frame holds sodium, chlorine or zinc: give frames with ions")

    def push_one(done: int) -> Frame | None:
        number = present[done % len(present)]
        frame = holders[number][generator.integers(len(holders[number]))]
        return push(frame, int(generator.choice(np.flatnonzero(frame.atomic_numbers == number))), generator)

    return draw(push_one, count, "have room for an ion that is pushed")


def run(push_frames: Callable[[Sequence[Frame], int, int], Iterator[Frame]], about: str | None, count: int) -> None:
    """Read the command line, and write the pushed frames. count: where --count is absent"""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    known = [frame for path in arguments.frames for frame in read_frames(path)]
    write_frames(arguments.target, list(push_frames(known, arguments.count, arguments.seed)))
    print(f"{arguments.count} frames")


if __name__ == "__main__":
    run(push_some, __doc__, 900)
