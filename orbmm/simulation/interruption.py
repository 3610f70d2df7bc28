"""End a run before its last step, with a checkpoint: after SIGINT, SIGTERM, or a time limit."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from orbmm.errors import RunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_PER_HOUR = 3600.0


class Interruption:
    """A request to end the run, by a signal or a time limit.

    Inside the block the first signal sets `requested` and restores the former handlers, which take a second signal.
    The time limit starts when the object is made. Raises RunError for a limit that is not positive.
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
            self._former = {one: signal.signal(one, self._note) for one in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        self._restore()

    def _restore(self) -> None:
        for one, handler in self._former.items():
            signal.signal(one, handler)
        self._former = {}
