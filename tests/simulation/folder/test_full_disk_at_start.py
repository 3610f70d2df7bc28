"""A disk that is full before run.json exists leaves a start that is repeated, not resumed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from orbmm import files
from orbmm.errors import DiskFull, RunError
from orbmm.settings import Settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.reporters import trajectory
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


@pytest.mark.parametrize("name", ["structure.pdb", "settings.toml", "run.json"])
def test_the_advice_is_to_start_again_and_works(
    name: str, settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path) -> int:
        if name in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return sync_file(path)

    sync_file = files.sync_file
    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_file", fill)
        with pytest.raises(DiskFull, match="free disk space and start the run again") as refusal:
            start_run(settings, forces=classical_forces())
    assert settings.run.output is not None and "resume" not in str(refusal.value)
    with pytest.raises(RunError, match="is not a run folder"):
        resume_run(settings.run.output, forces=classical_forces())
    assert start_run(settings, forces=classical_forces()).finished


def test_no_room_for_the_folder_itself(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **options: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        with pytest.raises(DiskFull, match="free disk space and start the run again"):
            start_run(settings, forces=classical_forces())
    assert start_run(settings, forces=classical_forces()).finished


def test_no_room_for_the_trajectory_to_begin(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMM's writer only says that it could not open the file."""

    def refuse(path: Path, mode: Any) -> BinaryIO:
        if mode == "ab" and path.suffix == ".xtc":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return opened(path, mode)

    opened = trajectory.open_regular
    with monkeypatch.context() as patched:
        patched.setattr(trajectory, "open_regular", refuse)
        with pytest.raises(DiskFull, match=r"trajectory.xtc at step 0: No space left on device"):
            start_run(settings, forces=classical_forces())
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).finished


def test_after_that_the_advice_is_to_resume(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path) -> int:
        if "topology" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return sync_file(path)

    sync_file = files.sync_file
    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_file", fill)
        with pytest.raises(DiskFull, match="free disk space and continue with `orbmm resume`"):
            start_run(settings, forces=classical_forces())
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).finished
