"""Freed memory stays with the command line's process, where the C library can do that."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Asks for 64 MB twenty times and frees it each time; prints how many pages the kernel had to fill in the second half.
CHURN = """
import resource, sys
import numpy as np
from orbmm.cli.host_memory import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHURN, how], check=False, capture_output=True, text=True)
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
from orbmm.benchmark import machine
machine.read_free_bytes = lambda device: 2 * 2**30
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
