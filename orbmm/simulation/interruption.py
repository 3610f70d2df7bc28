"""End a run before its last step, with a checkpoint: after a signal or a time limit."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Self

from orbmm.errors import RunError

_STOPS = ("SIGINT", "SIGTERM")
"""Signals by which people and batch systems end a process. A second one of these ends the run at once."""

_NOTICES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
"""Signals that announce an end: the terminal is gone, the job or its processor time is nearly over.

They often come twice: from the kernel and from the shell, to a job and to its steps, or each second. So a second one
does not end the run at once. They do not exist on all systems."""

_SECONDS_PER_HOUR = 3600.0


class Interruption:
    """A request to end the run, by a signal or a time limit.

    Inside the block the first signal sets `requested`. SIGINT and SIGTERM have their former handlers after it, so that
    a second one ends the process at once. A notice that is ignored when the block begins, as `nohup` makes SIGHUP,
    stays ignored. The time limit starts when the object is made. Raises RunError for a limit that is not positive.
    """

    def __init__(self, max_hours: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if max_hours is not None and not max_hours > 0.0:
            raise RunError(f"max-hours is {max_hours}, but must be above 0; omit it to run without a limit")
        self._clock = clock
        self._deadline = math.inf if max_hours is None else clock() + max_hours * _SECONDS_PER_HOUR
        self._signalled = False
        self._former: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Return whether the run should save and end now."""
        return self._signalled or self._clock() >= self._deadline

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread set handlers
            notices = [one for one in _find_signals(_NOTICES) if signal.getsignal(one) not in (signal.SIG_IGN, None)]
            self._former = {one: signal.signal(one, self._note) for one in (*_find_signals(_STOPS), *notices)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore(tuple(self._former))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        self._restore(_find_signals(_STOPS))

    def _restore(self, signals: Iterable[signal.Signals]) -> None:
        for one in signals:
            if one in self._former:
                signal.signal(one, self._former.pop(one))


def _find_signals(names: Iterable[str]) -> list[signal.Signals]:
    """Return the signals of these names that this system has."""
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]
