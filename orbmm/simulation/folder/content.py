"""Hash the files of a run that grow, at a cost that does not depend on their length."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orbmm.files import open_regular

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK_BYTES = 2**20
_DCD_HEADER_BYTES = 48
_DCD_COUNTS = (slice(8, 12), slice(20, 24))  # numbers of frames and steps, which are written anew with each frame


@dataclass
class _Hashed:
    """The bytes of a file that were hashed so far, from `end` of the header on."""

    end: int
    sha256: _Hash = field(default_factory=hashlib.sha256)


class ContentHashes:
    """The sha256 of growing files. Each call reads only the bytes that were added since the call before."""

    def __init__(self) -> None:
        self._files: dict[Path, _Hashed] = {}

    def compute(self, path: Path, size: int) -> str:
        """Return the sha256 of the first `size` bytes of a file, as 64 hexadecimal digits.

        The numbers of frames and steps in the header of a DCD file are left out, because they change with each frame.
        Raises UnsafeFile for a link or a special file, OSError as `open` does.
        """
        start = min(size, _DCD_HEADER_BYTES if path.suffix == ".dcd" else 0)
        known = self._files.get(path)
        if known is None or not start <= known.end <= size:
            known = self._files[path] = _Hashed(start)
        with open_regular(path, "rb") as stream:
            header = bytearray(stream.read(start))
            stream.seek(known.end)
            while chunk := stream.read(min(_CHUNK_BYTES, size - known.end)):
                known.sha256.update(chunk)
                known.end += len(chunk)
        if len(header) == _DCD_HEADER_BYTES:
            for counts in _DCD_COUNTS:
                header[counts] = bytes(4)
        whole = known.sha256.copy()
        whole.update(header)
        return whole.hexdigest()
