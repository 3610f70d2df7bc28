"""Files that survive a power cut: written beside their place, synced, then renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Put the content on disk under its final name at once; a crash leaves the former file or the new one."""
    partial = path.with_name(path.name + ".partial")
    write_synced(partial, content)
    partial.replace(path)
    sync_folder(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and force it onto the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_file(path: Path) -> int:
    """Force what was written to a file onto the disk; returns its size in bytes."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno()).st_size


def sync_folder(path: Path) -> None:
    """Force the names in a folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
