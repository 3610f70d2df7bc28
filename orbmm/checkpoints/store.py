"""Where weights files are: in the package, in the cache, or still to be downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.errors import CheckpointError


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine and the sha256 of what it holds."""

    path: Path
    sha256: str


def locate_weights(record: CheckpointRecord, weights: str | Path | None = None) -> WeightsFile:
    """The weights of a model as a file on this machine."""
    if weights is None and record.file is not None:
        return _find_embedded(record.file)
    raise CheckpointError(f"the weights of {record.name} cannot be fetched yet")


def hash_file(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _find_embedded(file: str) -> WeightsFile:
    path = Path(str(resources.files("orbmm.checkpoints").joinpath("embedded", file)))
    if not path.is_file():
        raise CheckpointError(
            f"the embedded weights {path} are missing: this installation of orbmm is incomplete, install it again"
        )
    return WeightsFile(path, hash_file(path))
