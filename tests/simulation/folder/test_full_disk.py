"""A disk without room ends a run with exit code 3 and one sentence; what was whole before is resumed from."""

from __future__ import annotations

import dataclasses
import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.errors import DiskFull
from orbmm.run_files import checkpoints
from orbmm.settings import Settings, StageSettings, override_settings, write_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]

CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from conftest import ClassicalForces
from orbmm.errors import OrbmmError
from orbmm.settings import read_settings
from orbmm.simulation.run import start_run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    start_run(read_settings(sys.argv[2]), forces=ClassicalForces())
except OrbmmError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def _run_with_largest_file(settings: Settings, path: Path, largest: int) -> subprocess.CompletedProcess[str]:
    write_settings(settings, path)
    arguments = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), str(path), str(largest)]
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("file_format", ["xtc", "dcd"])
def test_a_frame_for_which_there_is_no_room_ends_the_run_and_it_resumes_to_the_same(
    file_format: str, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"length_ps": 0.1, "trajectory": file_format}})
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    name = f"trajectory.{file_format}"
    size = (whole.folder / name).stat().st_size
    largest = int(0.8 * size)
    # Nothing else that a run writes may be larger than the trajectory is when it is cut off.
    others = [path.stat().st_size for path in whole.folder.rglob("*") if path.is_file() and path.name != name]
    assert max(others) < largest
    result = _run_with_largest_file(settings, tmp_path / "system.toml", largest)
    assert result.returncode == 3, result
    assert result.stdout.count("\n") == 1 and result.stderr == ""
    assert f"{name} at step " in result.stdout and "free disk space" in result.stdout
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).finished
    contents = [(folder / name).read_bytes() for folder in (settings.run.output, whole.folder)]
    header = 276 if file_format == "dcd" else 0  # with the time of day
    assert contents[0][header:] == contents[1][header:]


@pytest.mark.parametrize("name", ["energies.csv", "equilibration.csv"])
def test_a_row_for_which_there_is_no_room_ends_the_run(name: str, settings: Settings, tmp_path: Path) -> None:
    changes = {"frame_every_fs": 30.0, "checkpoint_every_ps": 0.03}  # so that at step 30 only a row is due
    settings = override_settings(settings, {"run": changes})
    if name == "equilibration.csv":
        stages = (StageSettings(kind="equilibrate", length_ps=0.03), StageSettings(kind="produce"))
        settings = dataclasses.replace(settings, stage=stages)
    write_settings(settings, tmp_path / "system.toml")
    code = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from conftest import ClassicalForces
from orbmm.errors import OrbmmError
from orbmm.settings import read_settings
from orbmm.simulation.run import start_run
settings = read_settings(sys.argv[2])

def fill_disk(progress):
    table = settings.run.output / sys.argv[3]
    if progress.step == 20 and table.exists():
        resource.setrlimit(resource.RLIMIT_FSIZE, (table.stat().st_size, resource.RLIM_INFINITY))

try:
    start_run(settings, fill_disk, ClassicalForces())
except OrbmmError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    arguments = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path / "system.toml"), name]
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 3, result
    assert f"{name} at step 30: File too large; free disk space" in result.stdout and result.stderr == ""


def test_a_limit_that_is_not_reached_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    assert _run_with_largest_file(settings, tmp_path / "system.toml", 10**8).returncode == 0


def test_a_checkpoint_for_which_there_is_no_room_ends_the_run_and_leaves_the_one_before(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_new = checkpoints.write_new

    def write(path: Path, content: bytes) -> None:
        if path.name == "context.chk" and len(list(path.parents[1].glob("step-*"))) == 2:
            write_new(path, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_new(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "write_new", write)
        with pytest.raises(DiskFull, match=r"context.chk at step 40: No space left on device"):
            start_run(settings, forces=classical_forces())
    folder = settings.run.output
    assert folder is not None
    assert max(path.name for path in (folder / "checkpoints").glob("step-*")) == "step-000000000020"
    assert resume_run(folder, forces=classical_forces()).finished
