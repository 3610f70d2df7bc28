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
