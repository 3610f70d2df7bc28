"""A run that is still going, looked at whenever frames have come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orbmm.analysis.reading.formats import count_frames
from orbmm.analysis.reading.run_folder import Recording, read_run_folder
from orbmm.errors import AnalysisError
from orbmm.run_files.checkpoints import PRODUCTION, list_checkpoints
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings, read_settings

_FEWEST = 2  # frames, and rows of the table after the cut


@dataclass(frozen=True)
class Update:
    """The state of a run at one time. last_ps: time of the last frame. finished: no more frames will come."""

    recording: Recording
    frames: int
    last_ps: float
    finished: bool


def follow_run(
    folder: Path, every_s: float = 30.0, discard_ps: float = 0.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Update]:
    """Yield the run whenever it has new frames, the last time when it is complete or was stopped as unstable.

    every_s: least time between two updates [s]; one that takes longer is followed by a rest as long. discard_ps: the
    first one waits until the run is beyond this. A run that was killed keeps this waiting: end it with Ctrl-C.
    Raises AnalysisError for a folder that is missing, SettingsError for its settings.
    """
    if not folder.is_dir():
        raise AnalysisError(f"{folder}: no such run folder; give the folder that orbmm run has written or is writing")
    seen = 0
    while True:
        began = time.monotonic()
        update = _poll(folder, seen, discard_ps)
        if update is not None:
            seen = update.frames
            yield update
            if update.finished:
                return
        sleep(max(every_s, time.monotonic() - began))


def _poll(folder: Path, seen: int, discard_ps: float) -> Update | None:
    """Return the run as it is now; None when there is nothing new, or too little to measure."""
    run = RunFolder(folder)
    if not run.settings.is_file():
        return None
    settings = read_settings(run.settings)
    ended = _has_ended(run, settings)  # before the frames are counted: some may come in between
    frames = count_frames(run.find_trajectory(settings.run.trajectory))
    kept_ps = (_count_rows(run.table) - _FEWEST) * settings.run.table_every_fs / 1000.0
    if not ended and (frames <= seen or frames < _FEWEST or kept_ps < discard_ps):
        return None
    last_ps = (frames - 1) * settings.run.frame_every_fs / 1000.0
    return Update(read_run_folder(folder, growing=True), frames, last_ps, ended)


def _has_ended(run: RunFolder, settings: Settings) -> bool:
    """Tell whether the checkpoint of the last step is there, which is written after everything else, or the guard stopped it."""
    steps = {each.step for each in list_checkpoints(run.checkpoints) if each.phase == PRODUCTION}
    return settings.production.steps in steps or run.read_reason() is not None


def _count_rows(table: Path) -> int:
    return table.read_bytes().count(b"\n") - 1 if table.is_file() else 0
