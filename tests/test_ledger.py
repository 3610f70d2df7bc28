"""A run of the tests fails when something that it should have exercised was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHEAP_TEST = "tests/test_layout.py::test_a_bad_file_would_be_seen"


def run_pytest(repository: Path, **expected: str) -> subprocess.CompletedProcess[str]:
    """Run one cheap test, which exercises nothing, in a new process."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", CHEAP_TEST]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORBMM_EXPECT", "PYTEST"))}
    return subprocess.run(
        command, cwd=repository, env=environment | expected, capture_output=True, text=True, check=False
    )


def test_a_run_that_is_expected_to_exercise_nothing_passes(repository: Path) -> None:
    done = run_pytest(repository)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("variable", ["ORBMM_EXPECT_FORCE_KINDS", "ORBMM_EXPECT_SEARCHES"])
def test_a_run_that_misses_something_fails_and_names_it(repository: Path, variable: str) -> None:
    done = run_pytest(repository, **{variable: "kd_tree"})
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "no passed test exercised kd_tree" in done.stdout
