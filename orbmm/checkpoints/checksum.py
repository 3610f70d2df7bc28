"""Checksum and outer form of a file, and the checksum noted beside it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from orbmm.files import replace_file


def hash_file(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def looks_like_weights(path: Path) -> bool:
    """Whether a file is an unbroken zip archive, as torch writes them, a whole safetensors file, or begins as a pickle."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[:1] == b"\x80" or zipfile.is_zipfile(path) or (head[8:9] == b"{" and _is_whole_safetensors(path))


def note_checksum(path: Path, sha256: str) -> None:
    """Write PATH.sha256 in the form that `sha256sum --check` reads; it appears whole or not at all."""
    with replace_file(_note_path(path)) as partial:
        partial.write_text(f"{sha256}  {path.name}\n", encoding="ascii")


def read_checksum(path: Path) -> str | None:
    """The sha256 that PATH.sha256 holds, None where there is no such note."""
    note = _note_path(path)
    words = note.read_text(encoding="ascii", errors="replace").split() if note.is_file() else []
    return words[0] if words else None


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _is_whole_safetensors(path: Path) -> bool:
    """Whether the file is as long as the table at its beginning says; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            return True
    except SafetensorError:
        return False
