"""scripts/checks/ensemble_chaos.py: what it plans, counts and compares."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/checks/ensemble_chaos.py")


@pytest.mark.filterwarnings("default")  # what torch warns of on loading is not ours
def test_every_harm_is_planned(script: ModuleType) -> None:
    harms = Counter(script.plan_harms(30, random.Random(1)))
    assert harms == {"coordinator": 5, "run": 13, "worker": 12, "worker stopped": 1, "no room": 1}


@pytest.mark.filterwarnings("default")
def test_reasons_are_counted_from_what_the_coordinator_said(script: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "coordinator.log"
    again = "; it is tried again\n"
    log.write_text(
        f"3 waiting\nseed-1: the process was ended by SIGKILL{again}seed-2: its worker was lost{again}"
        f"seed-1: cannot write x: File too large; free disk space{again}seed-2: something else{again}seed-1: complete\n"
    )
    expected = {"SIGKILL": 1, "its worker was lost": 1, "something else; it is tried again": 1, "too large": 1}
    assert script.count_reasons(log) == expected


def test_a_cost_is_of_all_processes(repository: Path, tmp_path: Path) -> None:
    """In a process of its own: a measurement waits for all children of its process, those of other tests too."""
    work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    commands = [["sh", "-c", f"sh -c '{work}' & sh -c '{work}'; wait"], ["sh", "-c", "true"]]
    lines = f"from ensemble_cost import measure; print(*(measure(command, '.')['cpu_s'] for command in {commands}))"
    place = {**os.environ, "PYTHONPATH": str(repository / "scripts" / "benchmarks")}
    ended = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, env=place, capture_output=True, text=True, check=True, timeout=120
    )
    busy, idle = map(float, ended.stdout.split())
    assert busy > 5.0 * max(idle, 0.01)
