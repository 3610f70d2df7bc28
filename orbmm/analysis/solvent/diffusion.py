"""Self-diffusion of water: how fast does the liquid flow?

Source of the finite-size term: Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004), equation 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.pairs import shorten
from orbmm.analysis.reading.frames import Frames, read_chunks, read_times
from orbmm.analysis.reading.times import find_interval
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.kinds import find_water_oxygens

_ORIGINS = 64
_FIT_FROM, _SHORTEST_PS = 0.2, 2.0
_PER_NM2_PS = 1000.0  # 1 nm^2/ps in 1e-9 m^2/s
_MADELUNG = 2.837297  # of a cubic lattice
_BOLTZMANN = 1.380649e-23  # J/K
_VISCOSITY = 0.8538e-3  # Pa s, of water at 300 K (IAPWS 2008)
_METHOD = (
    "Mean square displacement of {waters} water oxygens, unwrapped from frame to frame, over up to 64 time origins; "
    "D from a straight line through lags of {start:g} to {end:g} ps (Einstein), its error from the three directions. "
    "A periodic box slows diffusion down: kT 2.837297 / (6 pi eta L) has to be added (Yeh and Hummer 2004), given here "
    "for the viscosity of real water at 300 K and the edge of a cube of the same volume.{short}"
)


def compute_diffusion(frames: Frames, discard_ps: float = 0.0, kelvin: float = 300.0) -> Result:
    """Compute mean square displacement of water along the lag [Å^2], and the diffusion coefficient from it [1e-9
    m^2/s].

    frames: a periodic trajectory with frames at equal intervals, in memory or on disk; it is read twice, and no oxygen
    may move by half a box between two frames. kelvin: for the finite-size term.
    Raises NothingToMeasure without water, a box or enough frames, and for frames at unequal intervals.
    """
    oxygens = find_water_oxygens(frames.topology)
    if len(oxygens) == 0:
        raise NothingToMeasure("there is no water")
    interval_ps, kept = _read_interval(frames, oxygens[:1], discard_ps)
    lags = kept // 2
    if lags < 5:
        raise NothingToMeasure(f"{kept} frame{'' if kept == 1 else 's'}; it takes at least 10")
    tally = _Tally(lags, max(1, kept // _ORIGINS))
    volume = 0.0
    for chunk in read_chunks(frames, oxygens):
        for time, positions, box in zip(read_times(chunk), chunk.xyz.astype(float), _read_boxes(chunk), strict=True):
            if time >= discard_ps:
                tally.add(positions, box)
                volume += abs(float(np.linalg.det(box))) / kept
    return _collect(tally, len(oxygens), interval_ps, volume ** (1.0 / 3.0), kelvin)


@dataclass
class _Tally:
    """Displacements from origins that are `spacing` frames apart, up to `lags` frames later."""

    lags: int
    spacing: int
    square: NDArray[np.float64] = field(init=False)  # (lags + 1, 3) [nm^2], by direction
    count: NDArray[np.int64] = field(init=False)  # (lags + 1,)
    origins: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    frame: int = -1
    last: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.square, self.count = np.zeros((self.lags + 1, 3)), np.zeros(self.lags + 1, dtype=np.int64)

    def add(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> None:
        """Take in the next frame; positions: (A, 3) [nm] wrapped or not, box: (3, 3) rows [nm]."""
        self.frame += 1
        self.last = positions if self.last is None else self.last + shorten(positions - self.last, box)
        if self.frame % self.spacing == 0:
            self.origins[self.frame] = self.last
        for origin in [origin for origin in self.origins if self.frame - origin > self.lags]:
            del self.origins[origin]
        for origin, start in self.origins.items():
            self.square[self.frame - origin] += ((self.last - start) ** 2).mean(axis=0)
            self.count[self.frame - origin] += 1


def _read_interval(frames: Frames, atoms: NDArray[np.int64], discard_ps: float) -> tuple[float, int]:
    """Return time between two frames [ps] and the number of frames that are kept."""
    times = np.concatenate([read_times(chunk) for chunk in read_chunks(frames, atoms)])
    times = times[times >= discard_ps]
    if len(times) < 2:
        return 0.0, len(times)
    interval = find_interval(times)
    if interval is None:
        raise NothingToMeasure("the frames are not at equal intervals; their times jump or stand still")
    return interval, len(times)


def _read_boxes(chunk: md.Trajectory) -> NDArray[np.float64]:
    if chunk.unitcell_vectors is None:
        raise NothingToMeasure("the trajectory has no box")
    return np.asarray(chunk.unitcell_vectors.astype(float))


def _collect(tally: _Tally, waters: int, interval_ps: float, edge_nm: float, kelvin: float) -> Result:
    lag = interval_ps * np.arange(tally.lags + 1)
    square = tally.square / np.maximum(tally.count, 1)[:, None]  # (L, 3)
    fitted = (lag >= _FIT_FROM * lag[-1]) & (lag > 0.0)
    slopes = np.polyfit(lag[fitted], square[fitted], 1)[0] / 2.0 * _PER_NM2_PS  # (3,)
    long_enough = lag[-1] >= _SHORTEST_PS
    correction = _BOLTZMANN * kelvin * _MADELUNG / (6.0 * math.pi * _VISCOSITY * edge_nm * 1e-9) * 1e9
    values = {
        "lag": lag,
        "displacement": square.sum(axis=1) * 100.0,
        "coefficient": slopes.mean(),
        "coefficient_error": slopes.std(ddof=1) / math.sqrt(3.0),
        "finite_size_term": correction,
        "corrected": slopes.mean() + correction,
        "fit_start": lag[fitted][0],
        "converged": int(long_enough),
        "waters": waters,
    }
    speed = dict.fromkeys(("coefficient", "coefficient_error", "finite_size_term", "corrected"), "1e-9 m2/s")
    units = {"lag": "ps", "displacement": "angstrom2", "fit_start": "ps"} | speed
    short = "" if long_enough else " The longest lag is below 2 ps: too short for diffusion, the number means little."
    method = _METHOD.format(waters=waters, start=lag[fitted][0], end=lag[-1], short=short)
    return Result.of("diffusion", method, "lag", values, units, tally.frame + 1)
