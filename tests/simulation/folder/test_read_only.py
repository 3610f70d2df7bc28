"""A folder that may not be written ends a run with one sentence, and leaves it as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orbmm.errors import RunError
from orbmm.settings import Settings, override_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]
NOBODY = 65534


@contextmanager
def _as_nobody() -> Iterator[None]:
    """File permissions mean nothing to root: while entered, a root process has the rights of somebody else."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def readable(settings: Settings) -> Iterator[Settings]:
    """Settings whose files anybody may read, in a folder that nobody may write to but its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    structure = shutil.copy(settings.system.structure, folder / "water.pdb")
    yield override_settings(settings, {"system": {"structure": Path(structure)}, "run": {"output": folder / "run"}})
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_run_cannot_begin_there(readable: Settings, classical_forces: Forces) -> None:
    assert readable.run.output is not None
    readable.run.output.parent.chmod(0o555)
    with _as_nobody(), pytest.raises(RunError, match=r"run folder .* cannot be made \(Permission denied\)"):
        start_run(readable, forces=classical_forces())
    assert not readable.run.output.exists()


def test_a_run_cannot_be_resumed_there_and_is_left_as_it_was(readable: Settings, classical_forces: Forces) -> None:
    folder = start_run(override_settings(readable, {"run": {"length_ps": 0.02}}), forces=classical_forces()).folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with _as_nobody(), pytest.raises(RunError, match=r"cannot write .*: Permission denied") as caught:
        resume_run(folder, forces=classical_forces())
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
