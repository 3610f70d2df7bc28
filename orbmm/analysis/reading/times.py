"""Times of frames: whether a file holds them, at equal intervals or not, doubled or overlapping.

Files keep times as float32, whose steps grow with the time: 0.002 ps at 20 ns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.formats import read_file_times
from orbmm.analysis.reading.frames import TrajectoryFile, read_times
from orbmm.analysis.reading.opening import find_suffix
from orbmm.analysis.reading.trr import walk_trr

_PART = 0.01  # of an interval that a time may be off
_NO_TIMES = (
    "the file holds no times: frames are numbered, and what needs times is left out; "
    "give --frame-ps, the time between two frames"
)


def hold_times(frames: TrajectoryFile) -> bool:
    """Tell whether the times of a file's frames are known: given with it, or in it."""
    if frames.frame_ps is not None or not frames.path.is_file() or frames.path.stat().st_size == 0:
        return True  # a missing file is refused when it is read
    return read_file_times(frames.path) is not None


def describe_frames(frames: TrajectoryFile) -> tuple[str, ...]:
    """Return notes on frames that hold no positions, and on their times; empty where nothing is odd."""
    if find_suffix(frames.path) != ".trr" or not frames.path.is_file():
        return _describe_times(frames)
    held = [frame.positions for frame in walk_trr(frames.path)]
    missing = len(held) - sum(held)
    if missing == 0:
        return _describe_times(frames)
    note = f"{missing} of {len(held)} frames hold no positions (velocities or forces alone) and are left out"
    return (note, *_describe_times(frames))


def _describe_times(frames: TrajectoryFile) -> tuple[str, ...]:
    """Return a note on frames that repeat a time or go back in it, or on times that are not known; empty without."""
    if not frames.timed:
        return (_NO_TIMES,)
    if frames.frame_ps is not None or not frames.path.is_file() or frames.path.stat().st_size == 0:
        return ()
    times = read_file_times(frames.path)
    if times is not None and len(times) == 0 and find_suffix(frames.path) != ".dcd":
        times = np.concatenate([read_times(chunk) for chunk in frames.read_chunks(np.zeros(1, dtype=np.int64))])
    return () if times is None else _describe_overlap(times)


def find_interval(times: NDArray[np.float64]) -> float | None:
    """Return the time between two frames [ps] from times (F,) [ps]; None where they are not at equal intervals."""
    if len(times) < 2:
        return None
    steps = np.diff(times)
    interval = float(np.median(steps))
    if interval > 0.0 and np.abs(steps - interval).max() <= _PART * interval + 1e-4:
        return interval
    interval = float(times[-1] - times[0]) / (len(times) - 1)  # of late times no single step is known well
    even = times[0] + interval * np.arange(len(times))
    if interval <= 0.0 or np.abs(times - even).max() > _PART * interval + 1e-4 + _find_resolution(times):
        return None
    return interval


def _describe_overlap(times: NDArray[np.float64]) -> tuple[str, ...]:
    if len(times) < 2 or find_interval(times) is not None:
        return ()
    latest = np.maximum.accumulate(times)
    again = np.flatnonzero(times[1:] <= latest[:-1]) + 1
    if len(again) == 0:
        return ()
    first = int(again[0])
    note = f"{len(again)} of {len(times)} frames repeat a time or go back in it"
    return (f"{note} (first frame {first + 1}, at {times[first]:g} ps); every frame counts: cut overlapping parts out",)


def _find_resolution(times: NDArray[np.float64]) -> float:
    """Return the step between neighbouring float32 numbers of the size of the latest time [ps]."""
    return float(np.spacing(np.float32(np.abs(times).max())))
