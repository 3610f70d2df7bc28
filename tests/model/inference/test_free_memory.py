"""Free memory is what the machine has left, and no more than the job's own limit leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from orbmm.model.inference import free_memory
from orbmm.model.inference.free_memory import read_free_bytes

CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB free, and this process in the control group job/step."""
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    (tmp_path / "cgroup").write_text("4:memory:/old\n0::/job/step\n")
    (tmp_path / "groups/job/step").mkdir(parents=True)
    monkeypatch.setattr(free_memory, "MEMORY_LIST", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "GROUPS", tmp_path / "groups")
    return tmp_path / "groups"


def limit(group: Path, most: str, used: int, pages: int) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - pages}\ninactive_file {pages}\n")


def test_without_a_limit_it_is_the_machines(machine: Path) -> None:
    assert read_free_bytes(CPU) == 8 * 2**30
    limit(machine / "job", "max", 2**30, 0)
    assert read_free_bytes(CPU) == 8 * 2**30


def test_the_tightest_limit_counts_and_pages_of_files_do_not(machine: Path) -> None:
    limit(machine / "job", str(4 * 2**30), 2**30, 0)
    assert read_free_bytes(CPU) == 3 * 2**30
    limit(machine / "job" / "step", str(3 * 2**30), 2 * 2**30, 2**29)
    assert read_free_bytes(CPU) == 2**30 + 2**29
    limit(machine / "job" / "step", str(2**30), 2 * 2**30, 0)
    assert read_free_bytes(CPU) == 0


def test_this_machine_has_some_memory_left() -> None:
    assert 10 * 2**20 < read_free_bytes(CPU) < 2**50
