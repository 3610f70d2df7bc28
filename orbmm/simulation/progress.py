"""Progress and speed of a run as plain numbers, for any display."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)

_SECONDS_PER_DAY = 86400.0
_PS_PER_NS = 1000.0


@dataclass(frozen=True)
class Progress:
    """One progress report. Steps and times are counted in the phase, equilibration or production.

    stage: kind of the current stage
    potential_energy_kj_mol: the latest known value, NaN before the first
    rmsd_nm: from the start, None if not requested
    """

    stage: str
    step: int
    total_steps: int
    time_ps: float
    ns_per_day: float
    seconds_left: float
    temperature_kelvin: float
    potential_energy_kj_mol: float
    rmsd_nm: float | None = None


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Do nothing with a progress report."""


def outlive_display(on_progress: OnProgress) -> OnProgress:
    """Return a callback that passes reports on until one raises OSError, as for a pipe that nobody reads any more.

    The error is logged and the run goes on without reports: a display must not end it. Other errors are raised.
    """
    displays = [on_progress]

    def pass_on(progress: Progress) -> None:
        try:
            displays[-1](progress)
        except OSError as error:
            displays.append(ignore_progress)
            _LOG.warning("progress cannot be shown (%s); the run goes on without it", error.strerror or error)

    return pass_on


class Pace:
    """The speed over the last 20 stops. A slow first step or an old pause does not count."""

    def __init__(self, timestep_ps: float, step: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ns_per_step = timestep_ps / _PS_PER_NS
        self._stops: deque[tuple[float, int]] = deque([(clock(), step)], maxlen=20)

    def mark(self, step: int) -> None:
        """Record that a step was reached now."""
        self._stops.append((self._clock(), step))

    @property
    def seconds_per_step(self) -> float:
        """Return the wall-clock time of a step [s], 0 before the first steps."""
        (first_time, first_step), (last_time, last_step) = self._stops[0], self._stops[-1]
        return (last_time - first_time) / (last_step - first_step) if last_step > first_step else 0.0

    @property
    def ns_per_day(self) -> float:
        """Return the speed [ns/day], 0 before the first steps."""
        seconds = self.seconds_per_step
        return _SECONDS_PER_DAY / seconds * self._ns_per_step if seconds > 0.0 else 0.0
