"""Download the published weights of a model, and check them before they appear in the cache."""

from __future__ import annotations

import math
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.envelope import looks_like_weights
from orbmm.checkpoints.shapes import list_optional_shapes, list_required_shapes
from orbmm.download.checksum import note_path
from orbmm.download.once import download_once
from orbmm.download.transfer import Limits
from orbmm.errors import CheckpointError, DownloadError
from orbmm.files import hash_file

_ROOM = 1 << 24


def check_weights(record: CheckpointRecord, path: Path, name: str) -> None:
    """Read and audit the weights file of a model: tensors only, names and shapes, finite real numbers, the cutoff.

    name: the name of the file in error messages
    Raises CheckpointError, also for a file that needs more memory than its model can need.
    """
    from orbmm.checkpoints.state_dict import (  # torch, which `orbmm models` does without
        audit_state_dict,
        check_cutoff,
        read_state_dict,
    )

    required, optional = list_required_shapes(record), list_optional_shapes(record)
    content = read_state_dict(path, name, largest_weights(record))
    try:
        audit = audit_state_dict(content, required, optional)
        check_cutoff(audit.used, record.architecture.cutoff_angstrom)
    except CheckpointError as error:
        raise CheckpointError(f"{name} does not fit {record.name}: {error}") from error


def largest_weights(record: CheckpointRecord) -> int:
    """Return the most bytes that a file of the model may take unpacked: four times its float64 tensors and 16 MiB."""
    shapes = {**list_required_shapes(record), **list_optional_shapes(record)}
    return 4 * 8 * sum(math.prod(shape) for shape in shapes.values()) + _ROOM


WEIGHTS_LIMITS = Limits(largest_bytes=2 << 30)
"""Published weights are files of about 100 MB."""


def download_weights(record: CheckpointRecord, target: Path, sha256: str | None) -> bool:
    """Download the weights of a model to target unless they are there; return True if they were downloaded now.

    sha256: the expected checksum, None if it is not known yet
    Raises CheckpointError, with advice, if the download fails or the file does not hold the weights of the model.
    """
    url = str(record.url)

    def check(partial: Path) -> None:
        _check_arrival(record, partial, sha256, target)

    try:
        return download_once(url, target, check, WEIGHTS_LIMITS)
    except DownloadError as error:
        raise CheckpointError(
            f"{url} cannot be downloaded ({error}): "
            f"get the file on a machine with a network and put it at {target}, or give it as weights="
        ) from error


def _check_arrival(record: CheckpointRecord, partial: Path, sha256: str | None, target: Path) -> None:
    """Raise CheckpointError unless the downloaded file holds the weights of the model and has the expected sha256."""
    url = str(record.url)
    if not looks_like_weights(partial):
        raise CheckpointError(
            f"{url} answered with something other than a whole weights file ({partial.stat().st_size} bytes, perhaps "
            f"the page of a login or proxy), which was not kept: try again, or put the file at {target}"
        )
    arrived = hash_file(partial)
    if sha256 is not None and arrived != sha256:
        raise CheckpointError(
            f"{url} now serves another file than before (sha256 {arrived}, expected {sha256}), which was not kept: if "
            f"its publisher has replaced it, delete {note_path(target)} to accept the new one"
        )
    try:
        check_weights(record, partial, "the file")
    except CheckpointError as error:
        raise CheckpointError(
            f"what {url} answered was not kept, because {error}; try again, or put the right file at {target}"
        ) from error
