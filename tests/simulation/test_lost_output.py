"""A run goes on to its end when nobody reads what it prints."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.settings import Settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import start_run

MAIN = "from orbmm.cli.main import main; main()"


def test_a_run_whose_reader_leaves_is_complete_in_any_locale(water_box: Path, tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(
        f'[system]\nname = "water"\nstructure = "{water_box}"\n[model]\ndevice = "cpu"\n'
        '[run]\nminimize = false\nplatform = "Reference"\nframe_every_fs = 1.0\ntable_every_fs = 1.0\n'
    )
    words = ["run", "system.toml", "--steps", "4", "--no-analyze"]
    line = '"$@" | head -n 1; exit ${PIPESTATUS[0]}'
    plain = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }  # so that files are ASCII unless they say more
    done = subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-W", "ignore", "-c", MAIN, *words],
        cwd=tmp_path, env=os.environ | plain, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    told = [line for line in done.stderr.splitlines() if not line.startswith("Warp ")]
    assert told == ["warning: standard output cannot be written (Broken pipe); the command goes on without it"]
    assert len((tmp_path / "runs" / "water" / "energies.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.ENOSPC, "No space")])
def test_a_display_that_fails_is_told_once_and_the_run_goes_on(
    error: OSError, settings: Settings, classical_forces: Callable[..., ForceSource], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def show(progress: Progress) -> None:
        seen.append(progress.step)
        if len(seen) == 2:
            raise error

    with caplog.at_level(logging.WARNING, "orbmm"):
        assert start_run(settings, show, classical_forces()).finished
    assert len(seen) == 2
    told = f"progress cannot be shown ({error.strerror}); the run goes on without it"
    assert [record.getMessage() for record in caplog.records].count(told) == 1


def test_another_error_of_a_display_is_raised(settings: Settings, classical_forces: Callable[..., ForceSource]) -> None:
    def show(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start_run(settings, show, classical_forces())
