"""Read how much memory is free: on a GPU, or on the host within the limits of the job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

MEMORY_LIST = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def read_free_bytes(device: torch.device) -> int:
    """Return the memory that is free now [bytes].

    On Linux this includes file caches that can be released, and respects a limit of the job or container (control
    groups, version 2). On other systems without CUDA it is the total memory of the machine.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if not MEMORY_LIST.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in MEMORY_LIST.read_text(encoding="utf-8").splitlines())
    return min(1024 * int(fields["MemAvailable"].split()[0]), *_list_group_room())


def _list_group_room() -> Iterator[int]:
    """Yield the free memory of each limited control group of this process, file caches included."""
    yield from (_read_room(group) for group in _list_groups() if _is_limited(group))
    yield 2**63  # no group limits anything


def _list_groups() -> Iterator[Path]:
    if not OWN_GROUPS.is_file():
        return
    for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
        if line.startswith("0::/"):  # version 2
            own = GROUPS / line.removeprefix("0::/")
            yield from (own, *(parent for parent in own.parents if parent.is_relative_to(GROUPS)))


def _is_limited(group: Path) -> bool:
    limit, used = group / "memory.max", group / "memory.current"
    return limit.is_file() and used.is_file() and limit.read_text(encoding="utf-8").strip() != "max"


def _read_room(group: Path) -> int:
    limit, used = (int((group / name).read_text(encoding="utf-8")) for name in ("memory.max", "memory.current"))
    listed = group / "memory.stat"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    fields = dict(line.split() for line in lines)
    return max(0, limit - used + int(fields.get("inactive_file", 0)))
