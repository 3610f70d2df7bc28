"""Checksum of a file, and the checksum noted beside it."""

from __future__ import annotations

from pathlib import Path

from orbmm.files import read_file, write_file

_LONGEST_NOTE = 4096


def note_checksum(path: Path, sha256: str) -> None:
    """Write PATH.sha256 in the form that `sha256sum --check` reads; it appears whole or not at all."""
    write_file(note_path(path), f"{sha256}  {path.name}\n".encode())


def read_checksum(path: Path) -> str | None:
    """Return the sha256 that PATH.sha256 holds, None where there is no such note.

    Raises UnsafeFile for a note that is no regular file or far too long.
    """
    note = note_path(path)
    words = read_file(note, _LONGEST_NOTE).decode("ascii", errors="replace").split() if note.exists() else []
    return words[0] if words else None


def note_path(path: Path) -> Path:
    """Return where the checksum of a file is noted."""
    return path.with_name(f"{path.name}.sha256")
