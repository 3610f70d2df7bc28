"""Find weights files in the package or in the cache, and download them if they are in neither.

The cache folder holds
    weights/NAME.ckpt           published weights as downloaded (or as copied there by hand)
    weights/NAME.ckpt.sha256    their checksum, noted at first use and compared at each later use
    by-hash/SHA256.ckpt         files that were given as weights=, so that a serialised System finds them again;
                                SHA256.NAME.ckpt for a file with the name of a published one
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from orbmm.checkpoints.catalog import CheckpointRecord, list_models
from orbmm.checkpoints.download import check_weights
from orbmm.checkpoints.envelope import looks_like_weights
from orbmm.download.checksum import note_checksum, read_checksum
from orbmm.errors import CheckpointError
from orbmm.files import hash_file, replace_file
from orbmm.settings.paths import CACHE_VARIABLE, cache_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine, and the sha256 of its content."""

    path: Path
    sha256: str


def locate_weights(record: CheckpointRecord, weights: str | Path | None = None) -> WeightsFile:
    """Return the weights file of a model on this machine; it is downloaded at the first call.

    weights: a local file to use instead; it is read, then copied into the cache under its hash
    Raises CheckpointError if the weights cannot be obtained, do not fit the model or changed since their first use.
    """
    if weights is not None:
        return _register_file(record, Path(weights).expanduser())
    if record.file is not None:
        return _check_embedded(record, _embedded_path(record.file))
    return _fetch_published(record)


def find_by_hash(sha256: str) -> Path:
    """Return the file on this machine with this sha256: embedded, downloaded or registered.

    Raises CheckpointError if there is none, or if it was altered.
    """
    for path in _candidates(sha256):
        if path.is_file() and hash_file(path) == sha256:
            return path
    raise CheckpointError(
        f"no unaltered weights file with sha256 {sha256} is in the package or in {cache_folder()}: load the model once "
        f"with the weights= that were used before, or set {CACHE_VARIABLE} to the cache folder that holds them"
    )


def state_of_weights(record: CheckpointRecord) -> Literal["embedded", "cached", "to download"]:
    """Return the present location of the weights of a model; nothing is opened or downloaded."""
    if record.file is not None:
        return "embedded"
    return "cached" if published_path(record).is_file() else "to download"


def published_path(record: CheckpointRecord) -> Path:
    """Return the path in the cache for the weights of a published model, whether they are there or not."""
    return cache_folder() / "weights" / Path(str(record.url)).name


def is_published(record: CheckpointRecord, path: Path) -> bool:
    """Return whether a file has the name of the published weights of a model, in the cache or wherever it was given."""
    return record.url is not None and path.name.endswith(published_path(record).name)


def _embedded_path(file: str) -> Path:
    return Path(str(resources.files("orbmm.checkpoints").joinpath("embedded", file)))


def _check_embedded(record: CheckpointRecord, path: Path) -> WeightsFile:
    reinstall = "this installation of orbmm is damaged, install it again"
    if not path.is_file():
        raise CheckpointError(f"the weights of {record.name} are missing at {path}: {reinstall}")
    found = hash_file(path)
    if record.sha256 not in (None, found):
        raise CheckpointError(f"{path} has sha256 {found}, expected {record.sha256}: {reinstall}")
    return WeightsFile(path, found)


def _fetch_published(record: CheckpointRecord) -> WeightsFile:
    """Return downloaded weights, checked against the catalogue or against the checksum noted at their first use."""
    path = published_path(record)
    expected = record.sha256 or read_checksum(path)
    downloaded = not path.is_file() and _download(record, path, expected)
    found = hash_file(path)
    if expected is None:
        if not downloaded:
            _check_put_there(record, path)
        with _cache_writing():
            note_checksum(path, found)
        logger.info("%s has sha256 %s; from now on it must stay so", path, found)
    elif found != expected:
        raise CheckpointError(
            f"{path} was altered (sha256 {found}, expected {expected}): delete it, and it will be downloaded again"
        )
    return WeightsFile(path, found)


def _download(record: CheckpointRecord, path: Path, sha256: str | None) -> bool:
    from orbmm.checkpoints.download import download_weights  # requests, which no other use needs

    with _cache_writing():
        return download_weights(record, path, sha256)


def _check_put_there(record: CheckpointRecord, path: Path) -> None:
    """Audit a file that the user copied into the cache; it is never deleted."""
    try:
        check_weights(record, path, str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete {path}, and the published file will be downloaded") from error


def _register_file(record: CheckpointRecord, source: Path) -> WeightsFile:
    """Copy a user's weights file into the cache under its hash; an incomplete copy never appears there.

    The file is checked first: if it does not fit the model, the error names the user's path and no copy is made.
    """
    _check_given_file(source)
    sha256 = hash_file(source)
    name = f".{source.name}" if is_published(record, source) else source.suffix
    target = cache_folder() / "by-hash" / f"{sha256}{name}"
    if not (target.is_file() and not target.is_symlink() and hash_file(target) == sha256):
        check_weights(record, source, str(source))
        with _cache_writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(target) as partial:
                shutil.copyfile(source, partial)
                if hash_file(partial) != sha256:
                    raise CheckpointError(f"weights={source} changed while it was read: try again")
    return WeightsFile(target, sha256)


def _check_given_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"weights={path} is a folder: give the weights file itself")
    if not path.is_file():
        raise CheckpointError(f"weights={path} does not exist (looked in {Path.cwd()})")
    if path.stat().st_size == 0:
        raise CheckpointError(f"weights={path} is empty: copy or download it again")
    try:
        looks_right = looks_like_weights(path)
    except PermissionError as error:
        raise CheckpointError(f"weights={path} may not be read by you: change its permissions") from error
    if not looks_right:
        raise CheckpointError(
            f"weights={path} is torn or no weights file: copy or download it again, or give a file written by "
            "torch.save or a .safetensors file"
        )


def _candidates(sha256: str) -> Iterator[Path]:
    """Yield files that may have this sha256, judged by names and noted checksums, cheapest to check first."""
    yield from sorted((cache_folder() / "by-hash").glob(f"{sha256}*"))
    for record in list_models():
        path = _embedded_path(record.file) if record.file is not None else published_path(record)
        if path.is_file() and read_checksum(path) in (None, sha256):
            yield path


@contextmanager
def _cache_writing() -> Iterator[None]:
    """Convert errors of the operating system (no permission, disk full) to a CheckpointError about the cache folder."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"the cache folder {cache_folder()} cannot be written ({error.strerror or error}): "
            f"make room or rights there, or set {CACHE_VARIABLE} to another folder"
        ) from error
