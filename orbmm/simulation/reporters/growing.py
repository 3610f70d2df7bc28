"""Append to the growing files of a stage, and notice another process that writes to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orbmm.errors import RunError
from orbmm.files import require_regular, sync_file
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.folder.checkpoint import SavedFiles
from orbmm.simulation.folder.content import ContentHashes
from orbmm.simulation.reporters.reporter import Reporter


class GrowingFiles:
    """The files of the reporters of a stage. hashes: of what the files hold so far, passed from stage to stage"""

    def __init__(self, reporters: Sequence[Reporter], hashes: ContentHashes) -> None:
        self.reporters = reporters
        self._hashes = hashes
        self._sizes = {reporter.path: _measure(reporter.path) for reporter in reporters}

    def report(self, reporter: Reporter, frame: Frame) -> None:
        """Append the entry of a frame. Raises RunError if the file is no longer as this process has left it."""
        self._require_unchanged(reporter.path, _measure(reporter.path))
        reporter.report(frame)
        self._sizes[reporter.path] = _measure(reporter.path)

    def save(self) -> SavedFiles:
        """Force the files onto the disk and return what a checkpoint keeps of them. Raises RunError as `report`."""
        sizes, hashes = {}, {}
        for path in (reporter.path for reporter in self.reporters):
            sizes[path.name] = sync_file(path)
            self._require_unchanged(path, sizes[path.name])
            hashes[path.name] = self._hashes.compute(path, sizes[path.name])
        return SavedFiles(sizes, hashes)

    def _require_unchanged(self, path: Path, found: int) -> None:
        if found != self._sizes[path]:
            raise RunError(
                f"{path} holds {found} bytes, but this process left {self._sizes[path]}: another process writes to "
                "this run; end all but one, then go on with `orbmm resume`, which removes what is beyond the checkpoint"
            )


def _measure(path: Path) -> int:
    """Return the size of a file; 0 if it is not there, such as a trajectory before its first frame."""
    return require_regular(path) if os.path.lexists(path) else 0
