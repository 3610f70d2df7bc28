"""Free memory is what the machine has left, and no more than the job's own limit leaves."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from orbmm.model.inference import free_memory
from orbmm.model.inference.free_memory import READ_AGAIN_AFTER_S, FreeMemory, read_free_bytes

CPU = torch.device("cpu")
GB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB free, where this process has no limit of its own; its /proc and groups are in a folder."""
    monkeypatch.setattr(free_memory, "PROCESSES", tmp_path / "proc")
    monkeypatch.setattr("resource.getrlimit", lambda limit: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(
        "MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\nHugePages_Total: 0\n"
    )
    (tmp_path / "proc" / "self" / "status").write_text("Name:\tpython\nVmSize:\t 1048576 kB\nVmData:\t  524288 kB\n")
    return tmp_path


def mount(machine: Path, version: int, own: str, root: str = "/") -> Path:
    """Mount the groups of a version at a path with a space; this process is in the group `own`. Return the path."""
    top = machine / "sys" / f"groups {version}"
    top.mkdir(parents=True)
    kind, options = ("cgroup2", "rw") if version == 2 else ("cgroup", "rw,memory")
    place = str(top).replace(" ", r"\040")
    lines = "".join(f"{line}\n" for line in [
        "22 1 0:21 / /proc rw - proc proc rw",
        f"41 31 0:38 {root} {place} rw,relatime shared:9 - {kind} {kind} {options}",
    ])  # fmt: skip
    with (machine / "proc" / "self" / "mountinfo").open("a") as file:
        file.write(lines)
    with (machine / "proc" / "self" / "cgroup").open("a") as file:
        file.write(f"0::{own}\n" if version == 2 else f"5:cpuset:/elsewhere\n4:memory,hugetlb:{own}\n")
    return top


def limit(group: Path, version: int, most: int | str, used: int, pages: int = 0) -> None:
    group.mkdir(parents=True, exist_ok=True)
    files = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, value in zip(files, (most, used), strict=True):
        (group / name).write_text(f"{value}\n")
    own, all_groups = (pages, 7 * GB) if version == 2 else (7 * GB, pages)  # version 1 counts groups below apart
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {own}\ntotal_inactive_file {all_groups}\n")


UNLIMITED = {1: 9223372036854771712, 2: "max"}


@pytest.mark.parametrize("version", [1, 2])
def test_without_a_limit_it_is_the_machines(version: int, machine: Path) -> None:
    assert read_free_bytes(CPU) == 8 * GB
    top = mount(machine, version, "/job/step")
    limit(top / "job", version, UNLIMITED[version], GB)
    assert read_free_bytes(CPU) == 8 * GB


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_group_counts_and_pages_of_files_do_not(version: int, machine: Path) -> None:
    top = mount(machine, version, "/job/step/task")
    limit(top, version, UNLIMITED[version], 9 * GB)
    limit(top / "job", version, 4 * GB, GB)
    assert read_free_bytes(CPU) == 3 * GB
    limit(top / "job" / "step", version, 3 * GB, 2 * GB, GB // 2)
    assert read_free_bytes(CPU) == GB + GB // 2
    limit(top / "job" / "other", version, GB, GB)  # in which this process is not
    assert read_free_bytes(CPU) == GB + GB // 2
    limit(top / "job" / "step" / "task", version, GB, 2 * GB)
    assert read_free_bytes(CPU) == 0


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("root", ["/docker/a1", "/docker/other", "/.."])
def test_a_container_sees_its_own_group_at_the_top(version: int, root: str, machine: Path) -> None:
    top = mount(machine, version, "/docker/a1" if root != "/.." else "/../a1", root)
    limit(top, version, 2 * GB, GB)
    assert read_free_bytes(CPU) == GB


def test_both_versions_count_where_both_are_mounted(machine: Path) -> None:
    limit(mount(machine, 2, "/") / ".", 2, 5 * GB, GB)
    assert read_free_bytes(CPU) == 4 * GB
    limit(mount(machine, 1, "/slurm/job_7") / "slurm" / "job_7", 1, 3 * GB, GB)
    assert read_free_bytes(CPU) == 2 * GB


def test_a_group_that_is_slowed_down_above_a_limit_counts(machine: Path) -> None:
    top = mount(machine, 2, "/job")
    limit(top / "job", 2, 5 * GB, GB)
    (top / "job" / "memory.high").write_text("max\n")
    assert read_free_bytes(CPU) == 4 * GB
    (top / "job" / "memory.high").write_text(f"{3 * GB}\n")
    assert read_free_bytes(CPU) == 2 * GB


@pytest.mark.parametrize(("name", "used"), [("RLIMIT_AS", GB), ("RLIMIT_DATA", GB // 2)])
def test_a_limit_of_the_process_counts(name: str, used: int, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {getattr(resource, name): 3 * GB}
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limits.get(kind, resource.RLIM_INFINITY), 9 * GB))
    assert read_free_bytes(CPU) == 3 * GB - used


def test_damaged_and_missing_lists_limit_nothing(machine: Path) -> None:
    top = mount(machine, 2, "/job")
    (top / "job").mkdir()
    (top / "job" / "memory.max").write_text("")
    assert read_free_bytes(CPU) == 8 * GB
    (machine / "proc" / "meminfo").write_text("MemFree: 1048576 kB\n")  # of an old kernel
    assert read_free_bytes(CPU) == GB


def test_this_machine_has_some_memory_left() -> None:
    assert 10 * 2**20 < read_free_bytes(CPU) < 2**50


def test_free_memory_is_read_again_only_when_it_is_old_or_more_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([4 * GB, 3 * GB, 2 * GB])
    clock = [100.0]
    monkeypatch.setattr(free_memory.time, "monotonic", lambda: clock[0])
    memory = FreeMemory(lambda: next(readings))
    assert [memory.find_bytes(wanted) for wanted in (500, 500, 400)] == [4 * GB] * 3
    assert memory.find_bytes(501) == 3 * GB  # more atoms than before
    clock[0] += READ_AGAIN_AFTER_S
    assert memory.find_bytes(501) == 3 * GB
    clock[0] += 0.1
    assert memory.find_bytes(10) == 2 * GB
