"""scripts/carbonic_anhydrase_ii.py goes its whole way on a small system, in two pieces, and on a wrong file to one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run_study(repository: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "scripts" / "carbonic_anhydrase_ii.py"), "--output", str(output)]
    stretch = ["--heat-ps", "0.002", "--equilibrate-ps", "0.002", "--length-ps", "0.01", "--frame-every-fs", "2.5"]
    return subprocess.run([*command, *stretch, *options], capture_output=True, text=True, check=False, timeout=300)


def test_the_study_runs_stops_goes_on_and_answers(repository: Path, tmp_path: Path) -> None:
    small = ("--system", str(repository / "systems" / "water" / "system.toml"))
    stopped = run_study(repository, tmp_path, *small, "--max-hours", "1e-9")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped in order" in stopped.stdout
    finished = run_study(repository, tmp_path, *small)
    assert finished.returncode == 0, finished.stderr
    assert "temperature" in finished.stdout.splitlines()[-1]
    folder = tmp_path / "run"
    assert (folder / "equilibration.csv").stat().st_size > 0
    assert len((folder / "energies.csv").read_text().splitlines()) > 1
    assert (folder / "analysis" / "results.json").exists()
    assert "<html" in (folder / "report.html").read_text()


def test_a_wrong_weights_file_is_one_line(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.ckpt").write_text("torn")
    system = str(repository / "systems" / "water" / "system.toml")
    done = run_study(repository, tmp_path / "out", "--system", system, "--weights", str(tmp_path / "torn.ckpt"))
    assert done.returncode == 2
    assert "torn.ckpt" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
