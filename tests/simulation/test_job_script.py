"""scripts/study/slurm/run.sh continues a run from job to job until it is complete; sbatch is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Exit code, and the arguments of the next job if one was submitted.
Job = tuple[int, list[str] | None]


@pytest.fixture
def submit(repository: Path, tmp_path: Path, water_box: Path) -> Path:
    """A folder with a system of a few waters and an sbatch that only notes what it is asked."""
    (tmp_path / "system.toml").write_text(
        f'[system]\nname = "water"\nstructure = "{water_box}"\n[model]\ndevice = "cpu"\n'
        '[run]\nminimize = false\nlength_ps = 0.002\nplatform = "Reference"\n'
        "frame_every_fs = 1.0\ntable_every_fs = 1.0\n"
    )
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > submitted\n')
    sbatch.chmod(0o755)
    (tmp_path / "bin" / "orbmm").symlink_to(Path(sys.executable).parent / "orbmm")
    return tmp_path


def _run_job(script: Path, folder: Path, hours: str, system: str = "system.toml", run: str = "runs/mine") -> Job:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "MAX_HOURS": hours}
    command = ["bash", str(script), system, run]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=300)
    noted = folder / "submitted"
    arguments = noted.read_text().split("\0")[:-1] if noted.exists() else None
    noted.unlink(missing_ok=True)
    return done.returncode, arguments


def test_a_job_submits_the_next_one_until_the_run_is_complete(submit: Path, repository: Path) -> None:
    script = repository / "scripts" / "study" / "slurm" / "run.sh"
    assert _run_job(script, submit, "1e-9") == (0, ["scripts/study/slurm/run.sh", "system.toml", "runs/mine"])
    assert (submit / "runs" / "mine" / "run.json").exists()
    assert _run_job(script, submit, "1") == (0, None)
    log = (submit / "runs" / "mine.log").read_text()
    assert "stopped in order at step 0" in log and "complete: 4 steps" in log


def test_a_chain_without_progress_ends(submit: Path, repository: Path) -> None:
    script = repository / "scripts" / "study" / "slurm" / "run.sh"
    next_job = ["scripts/study/slurm/run.sh", "system.toml", "runs/mine"]
    (submit / "runs").mkdir()
    (submit / "runs" / "mine.log").write_text("stopped in order at step 0; go on with: another run of this name\n")
    assert _run_job(script, submit, "1e-9") == (0, next_job)
    assert _run_job(script, submit, "1e-9") == (4, None)
    assert "no progress: this piece stopped where" in (submit / "runs" / "mine.log").read_text()
    assert _run_job(script, submit, "1") == (0, None), "with more time the same job goes on"


def test_a_chain_with_progress_goes_on(submit: Path, repository: Path) -> None:
    """Control: the piece before stopped at an earlier step."""
    script = repository / "scripts" / "study" / "slurm" / "run.sh"
    assert _run_job(script, submit, "1e-9")[0] == 0
    log = submit / "runs" / "mine.log"
    log.write_text(log.read_text().replace("at step 0", "at step 00"))
    assert _run_job(script, submit, "1e-9") == (0, ["scripts/study/slurm/run.sh", "system.toml", "runs/mine"])


def test_a_job_that_fails_submits_nothing(submit: Path, repository: Path) -> None:
    (submit / "system.toml").write_text("[systm]\n")
    assert _run_job(repository / "scripts" / "study" / "slurm" / "run.sh", submit, "1") == (2, None)


@pytest.mark.parametrize("run", ["-rf", 'it\'s "mine" $(touch made); `touch made`', "two\nlines \x1b[0m", "水 Käfer"])
def test_a_run_may_be_called_anything(run: str, submit: Path, repository: Path) -> None:
    before = {*os.listdir(submit)}
    (submit / "system.toml").rename(submit / "-system.toml")
    called = f"./{run}" if run.startswith("-") else run
    script = repository / "scripts" / "study" / "slurm" / "run.sh"
    arguments = ["scripts/study/slurm/run.sh", "./-system.toml", called]
    assert _run_job(script, submit, "1e-9", "-system.toml", run) == (0, arguments)
    made = {*os.listdir(submit)} - before
    assert made == {"-system.toml", run, f"{run}.log"} and (submit / run / "run.json").exists()
