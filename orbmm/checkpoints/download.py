"""Download the published weights of a model, and check them before they appear in the cache."""

from __future__ import annotations

from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.envelope import looks_like_weights
from orbmm.checkpoints.inspection import check_weights
from orbmm.download.checksum import note_path
from orbmm.download.once import download_once
from orbmm.download.transfer import Limits
from orbmm.errors import CheckpointError, DownloadError
from orbmm.files import hash_file

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
