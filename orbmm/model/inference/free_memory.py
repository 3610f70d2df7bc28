"""Read how much memory is free: on a GPU, or on the host within the limits of the job. Limit this process to it.

Nothing here loads torch, so that an analysis can use it too.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PROCESSES = Path("/proc")
KEPT_FREE = 0.1  # of the memory that is free: what other programs may ask for meanwhile
_OCTAL = re.compile(r"\\([0-7]{3})")  # a space in mountinfo
_LIMITS = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}  # of a process, and what /proc/self/status counts for it


READ_AGAIN_AFTER_S = 10.0
"""Age of a reading of the free memory at which it is read again: five files of Linux at each step cost more."""


class FreeMemory:
    """The free memory of a device, read again only when the last reading is old or was made for less.

    read: returns the free bytes now
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._last: tuple[float, int, int] | None = None  # one reference, so that threads see a whole reading

    def find_bytes(self, wanted: int) -> int:
        """Return the free bytes as last read. wanted: bytes to be used now; more than before means a new reading."""
        now = time.monotonic()
        last = self._last
        if last is None or now - last[0] > READ_AGAIN_AFTER_S or wanted > last[1]:
            last = self._last = (now, wanted, self._read())
        return last[2]


def read_free_bytes(device: torch.device) -> int:
    """Return the memory that is free now [bytes]."""
    if device.type != "cuda":
        return read_free_host_bytes()
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def read_free_host_bytes() -> int:
    """Return the memory that this process can still get now [bytes].

    On Linux this includes file caches that can be released, and respects the limits of the job or container (control
    groups of version 1 and 2, with all groups above) and of the process (`ulimit -v`, `ulimit -d`). On other systems it
    is the total memory of the machine.
    """
    listed = PROCESSES / "meminfo"
    if not listed.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = _read_kilobytes(listed)
    free = fields.get("MemAvailable", fields.get("MemFree", 0))  # kernels before 3.14 list no MemAvailable
    return max(0, min(free, *_list_process_room(), *_list_group_room(), 2**63))


def limit_to_free_memory() -> None:
    """Limit this process to what it uses and nine tenths of what is free, so that it fails before other programs do.

    Acts on Linux only.
    """
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    used = _read_kilobytes(PROCESSES / "self/status").get("RssAnon", 0)
    wanted = used + round((1 - KEPT_FREE) * read_free_host_bytes())
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))


def _read_kilobytes(path: Path) -> dict[str, int]:
    """Return the fields `name: number kB` of a file [bytes]; none if it cannot be read."""
    found = (re.fullmatch(r"(\w+):\s+(\d+) kB", line) for line in _read_lines(path))
    return {match[1]: 1024 * int(match[2]) for match in found if match}


def _list_process_room() -> Iterator[int]:
    """Yield what each limit of this process leaves."""
    import resource  # not on Windows

    fields = _read_kilobytes(PROCESSES / "self/status")
    for limit, counted in _LIMITS.items():
        most, _ = resource.getrlimit(getattr(resource, limit))
        if most != resource.RLIM_INFINITY:
            yield most - fields.get(counted, 0)


@dataclass(frozen=True)
class _Hierarchy:
    """A tree of control groups that counts memory: the group of this process, the top, and the files of each group.

    limits: of which the smallest counts; memory.high slows a group down until it hardly moves
    released: the field of memory.stat with file caches that were not used lately
    """

    own: Path
    top: Path
    limits: tuple[str, ...]
    used: str
    released: str


def _list_group_room() -> Iterator[int]:
    """Yield the free memory of each limited control group of this process, file caches included."""
    for tree in _list_hierarchies():
        for group in (tree.own, *tree.own.parents):
            if not group.is_relative_to(tree.top):
                break
            limits = [number for name in tree.limits if (number := _read_number(group / name)) is not None]
            used = _read_number(group / tree.used)
            if limits and used is not None:
                yield min(limits) - used + _read_released(group / "memory.stat", tree.released)


def _list_hierarchies() -> Iterator[_Hierarchy]:
    """Yield the mounted trees of control groups, of version 1 or 2, that this process is in."""
    own: dict[str, str] = {}
    for line in _read_lines(PROCESSES / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)  # version 2 names no controller
    for line in _read_lines(PROCESSES / "self/mountinfo"):
        words, _, kind = line.partition(" - ")
        root, top = (_OCTAL.sub(lambda match: chr(int(match[1], 8)), word) for word in words.split()[3:5])
        fields = kind.split()
        if fields[0] == "cgroup2" and "" in own:
            place = _find_group(own[""], root, Path(top))
            yield _Hierarchy(place, Path(top), ("memory.max", "memory.high"), "memory.current", "inactive_file")
        if fields[0] == "cgroup" and "memory" in fields[-1].split(",") and "memory" in own:
            place = _find_group(own["memory"], root, Path(top))
            limits = ("memory.limit_in_bytes",)
            yield _Hierarchy(place, Path(top), limits, "memory.usage_in_bytes", "total_inactive_file")


def _find_group(group: str, root: str, top: Path) -> Path:
    """Return the folder of a control group; the top of the tree where the group lies outside of what is mounted.

    root: the group that is mounted at the top, in a container often that of the process itself
    """
    inside = PurePosixPath(group)
    if not inside.is_relative_to(root) or ".." in inside.parts:
        return top
    return top / inside.relative_to(root)


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a file, none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _read_number(path: Path) -> int | None:
    """Return the number in a file; None if it holds a word such as `max`, or cannot be read."""
    words = " ".join(_read_lines(path)).split()
    return int(words[0]) if words and words[0].isdecimal() else None


def _read_released(listed: Path, field: str) -> int:
    """Return the file caches of a group that can be released [bytes]."""
    found = [line.split()[1] for line in _read_lines(listed) if line.startswith(f"{field} ")]
    return int(found[0]) if found else 0
