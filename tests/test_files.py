"""Single files are read within limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbmm.errors import UnsafeFile
from orbmm.files import read_file


def test_reading_takes_memory_for_the_file_and_not_for_the_largest_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert read_file(path, 1 << 50) == b"content"  # more than any machine has
    assert read_file(path, 7) == b"content"
    with pytest.raises(UnsafeFile, match="holds more than 6 bytes"):
        read_file(path, 6)


def test_a_file_without_a_size_is_read_up_to_the_limit() -> None:
    assert read_file(Path("/proc/self/cmdline"), 1 << 20)
    with pytest.raises(UnsafeFile, match="holds more than 3 bytes"):
        read_file(Path("/proc/self/cmdline"), 3)
