"""scripts/kill_test.py with a few signals: a run with the embedded network that is killed again and again is the same run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name, count", [("KILL", 5), ("TERM", 3)])
def test_a_run_that_is_stopped_at_random_moments_comes_out_as_one_left_in_peace(
    name: str, count: int, repository: Path, tmp_path: Path
) -> None:
    script = repository / "scripts" / "kill_test.py"
    command = [sys.executable, str(script), "--kills", str(count), "--signal", name, "--work", str(tmp_path / "kills")]
    # A group of its own, so that no child outlives a test that runs out of time.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output + errors
    report = json.loads(output[output.index("{") :])
    assert report["differences"] == []
    assert report["signals_sent"] == count
    assert report["runs_completed_and_compared"] >= 1
