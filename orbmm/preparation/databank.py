"""Entries of the Protein Data Bank: downloaded once, and what they were at first ever after.

The cache folder holds
    structures/2cba.pdb           the entry as downloaded (or as put there by hand)
    structures/2cba.pdb.sha256    its checksum, noted when it was first seen
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orbmm.errors import MissingDependency, PreparationError
from orbmm.settings.cache import cache_folder

_ENTRY_URL = "https://files.rcsb.org/download/{}.pdb"

_log = logging.getLogger(__name__)


def fetch_entry(entry: str) -> tuple[Path, str]:
    """The cached file of a PDB entry and its address; downloaded whole or not at all.

    Raises PreparationError: no such entry, no network, or another file than was first seen.
    """
    if not re.fullmatch(r"[0-9][A-Za-z0-9]{3}", entry):
        raise PreparationError(f"'{entry}' is no entry of the Protein Data Bank: four characters such as 2CBA")
    address = _ENTRY_URL.format(entry.upper())
    path = cache_folder() / "structures" / f"{entry.lower()}.pdb"
    if not path.is_file():
        _download(address, path)
    _check_against_note(path)
    return path, address


def _download(address: str, path: Path) -> None:
    try:
        import pooch
        import requests
    except ImportError as error:
        raise MissingDependency("downloading PDB entries needs the package 'pooch': pip install pooch") from error
    _log.info("downloading %s", address)
    try:
        with _quieten(pooch.get_logger()):
            pooch.retrieve(address, known_hash=None, fname=path.name, path=path.parent, progressbar=False)
    except (requests.RequestException, OSError) as error:
        raise PreparationError(
            f"{address} cannot be downloaded ({type(error).__name__}); fetch the entry elsewhere and either name the "
            f"file as source or put it at {path}"
        ) from error


@contextmanager
def _quieten(logger: logging.Logger) -> Iterator[None]:
    """Warnings only: pooch writes its news to stderr, where an error is to be the one line."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_against_note(path: Path) -> None:
    """Note the checksum of a file seen for the first time; later, raise PreparationError where it differs."""
    note = path.with_name(f"{path.name}.sha256")
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if not note.exists():
            note.write_text(f"{sha256}  {path.name}\n", encoding="ascii")
        noted = note.read_text(encoding="ascii").split()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationError(f"the downloaded entry {path} or its checksum cannot be read: {error}") from error
    if noted != [sha256]:
        raise PreparationError(
            f"{path} is not what it was when first seen (sha256 {sha256}, expected {' '.join(noted) or 'none'}): "
            f"delete it to download it again, and {note.name} too to accept another version of the entry"
        )
