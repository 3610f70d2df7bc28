"""Freed memory stays with the command line's process, and a lack of memory is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orbmm.cli.main import build_app

# Asks for 64 MB twenty times and frees it each time; prints how many pages the kernel had to fill in the second half.
CHURN = """
import resource, sys
import numpy as np
from orbmm.model.inference.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_page_faults(how: str) -> int:
    free = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}  # a user's own choice
    done = subprocess.run([sys.executable, "-c", CHURN, how], check=False, capture_output=True, text=True, env=free)
    if done.returncode == 3:
        pytest.skip("the C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_kept_memory_costs_no_new_pages():
    assert 10 * count_page_faults("kept") < count_page_faults("left")


LIMITED = """
import resource
import torch
from orbmm.cli import host_memory
from orbmm.model.inference import free_memory
free_memory.read_free_host_bytes = lambda: 2 * 2**30
before = resource.getrlimit(resource.RLIMIT_DATA)
with host_memory.memory_within_reach():
    try:
        torch.empty(3 * 2**30, dtype=torch.uint8)
    except RuntimeError as error:
        print(error)
assert resource.getrlimit(resource.RLIMIT_DATA) == before
torch.empty(3 * 2**30, dtype=torch.uint8)
print("and then")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux grants what it does not have")
def test_what_cannot_be_had_is_refused_while_a_run_is_on_and_not_afterwards():
    done = subprocess.run([sys.executable, "-c", LIMITED], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "can't allocate memory" in done.stdout
    assert done.stdout.endswith("and then\n")


LITTLE = """
import resource, sys
from orbmm.cli.main import main
resource.setrlimit(resource.RLIMIT_AS, (200_000_000, resource.RLIM_INFINITY))
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep this limit")
def test_a_command_says_that_it_cannot_start_where_a_library_would_wait_for_ever(tmp_path: Path) -> None:
    answers = {
        words[0]: subprocess.run(
            [sys.executable, "-c", LITTLE, *words], check=False, capture_output=True, text=True, cwd=tmp_path
        )
        for words in (["analyze", "run"], ["new", "water"])
    }
    assert answers["analyze"].returncode == 3 and answers["analyze"].stderr.count("\n") == 1
    assert "MB of memory are free, but orbmm needs 350 MB to start" in answers["analyze"].stderr
    assert answers["new"].returncode == 0, answers["new"].stderr  # which loads no such library


NOT_MAPPED = "libtorch_cpu.so: failed to map segment from shared object"


@pytest.mark.parametrize(
    ("error", "free", "explained"),
    [
        (MemoryError("Unable to allocate 9 TiB"), 10**12, True),
        (ImportError(NOT_MAPPED), 10**9, True),
        (ImportError(NOT_MAPPED), 10**12, False),  # as on a disk that no program may be loaded from
        (ImportError("No module named 'x'"), 10**9, False),
    ],
)
def test_a_lack_of_memory_is_one_sentence_in_every_command(
    error: Exception, free: int, explained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("orbmm.analysis.check_files", fail)
    monkeypatch.setattr("orbmm.model.inference.free_memory.read_free_host_bytes", lambda: free)
    result = CliRunner().invoke(build_app(), ["analyze", str(tmp_path)])
    if explained:
        assert result.exit_code == 3 and result.stderr.startswith(f"error: not enough memory ({error}); free some")
        assert result.stderr.count("\n") == 1
    else:
        assert result.exception is error


def test_a_report_and_an_analysis_stay_within_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    @contextmanager
    def note() -> Iterator[None]:
        seen.append("limited")
        yield

    for command in ("analyze", "report"):
        monkeypatch.setattr(f"orbmm.cli.{command}.memory_within_reach", note)
        assert CliRunner().invoke(build_app(), [command, str(tmp_path)]).exit_code == 2
    assert seen == ["limited"] * 2
