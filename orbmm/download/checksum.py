"""Compute and note the checksum of a file."""

from __future__ import annotations

from pathlib import Path

from orbmm.files import read_file, write_file

_LONGEST_NOTE = 4096


def note_checksum(path: Path, sha256: str) -> None:
    """Write PATH.sha256 in the form that `sha256sum --check` reads; an incomplete file never appears."""
    write_file(note_path(path), f"{sha256}  {path.name}\n".encode())


def read_checksum(path: Path) -> str | None:
    """Return the sha256 in PATH.sha256, or None if there is no such file.

    Raises UnsafeFile if it is not a regular file or far too long.
    """
    note = note_path(path)
    words = read_file(note, _LONGEST_NOTE).decode("ascii", errors="replace").split() if note.exists() else []
    return words[0] if words else None


def note_path(path: Path) -> Path:
    """Return the path of the checksum file of a file."""
    return path.with_name(f"{path.name}.sha256")
