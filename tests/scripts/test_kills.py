"""scripts/checks/kill_test.py: a run with the embedded network that is killed again and again is the same run."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mdtraj.formats import XTCTrajectoryFile

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name, count", [("KILL", 50), ("TERM", 10)])
def test_a_run_that_is_stopped_at_random_moments_comes_out_as_one_left_in_peace(
    name: str, count: int, repository: Path, tmp_path: Path
) -> None:
    script = repository / "scripts" / "checks" / "kill_test.py"
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


@pytest.mark.filterwarnings("default")  # what torch and Warp warn of on loading is not ours
def test_the_script_sees_every_kind_of_difference(repository: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kill_test", repository / "scripts" / "checks" / "kill_test.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write_waters(tmp_path / "waters.pdb")
    try:
        script.attempt(script.make_settings(tmp_path / "waters.pdb", tmp_path / "whole"))
    finally:
        logging.disable(logging.NOTSET)  # which a child of the script need not do
    assert script.list_differences(tmp_path / "whole", tmp_path / "whole") == []
    for name in ("trajectory.xtc", "confidence.dat", "topology.pdb", "energies.csv", "equilibration.csv"):
        other = shutil.copytree(tmp_path / "whole", tmp_path / name)
        content = (other / name).read_bytes()
        middle = len(content) // 2
        (other / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        if name == "trajectory.xtc":  # any change of it makes a frame unreadable: leave out the last one instead
            with XTCTrajectoryFile(str(tmp_path / "whole" / name)) as frames:
                (other / name).write_bytes(content[: frames.offsets[-1]])
        assert script.list_differences(other, tmp_path / "whole"), name
