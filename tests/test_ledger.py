"""A run of the tests fails when something that it should have exercised was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHEAP_TEST = "tests/test_layout.py::test_a_bad_file_would_be_seen"
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])


def run_pytest(repository: Path, *arguments: str, **expected: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a new process, which expects nothing but what is given here."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORBMM_EXPECT", "PYTEST"))}
    return subprocess.run(
        command, cwd=repository, env=environment | expected, capture_output=True, text=True, check=False
    )


@WORKERS
def test_a_run_that_is_expected_to_exercise_nothing_passes(repository: Path, workers: tuple[str, ...]) -> None:
    done = run_pytest(repository, CHEAP_TEST, *workers)
    assert done.returncode == 0, done.stdout


@WORKERS
@pytest.mark.parametrize("variable", ["ORBMM_EXPECT_FORCE_KINDS", "ORBMM_EXPECT_SEARCHES"])
def test_a_run_that_misses_something_fails_and_names_it(
    repository: Path, variable: str, workers: tuple[str, ...]
) -> None:
    done = run_pytest(repository, CHEAP_TEST, *workers, **{variable: "kd_tree"})
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "no passed test exercised kd_tree" in done.stdout


THREE_TESTS = """
import pytest
@pytest.mark.parametrize("search", ["kd_tree", "cell_list", "brute_force"])
def test_it(search):
    assert search != "brute_force", "a failed test exercises nothing"
"""


@WORKERS
def test_what_each_worker_exercised_is_added_up(repository: Path, tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "test_searches.py").write_text(THREE_TESTS)
    conftest = (repository / "tests" / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    done = run_pytest(tmp_path, *workers, ORBMM_EXPECT_SEARCHES="kd_tree,cell_list,brute_force")
    assert "kd_tree 1, cell_list 1" in done.stdout and "brute_force 0" in done.stdout
    assert "no passed test exercised brute_force" in done.stdout
    assert "no passed test exercised kd_tree" not in done.stdout and done.returncode == 1
