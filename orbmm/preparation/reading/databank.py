"""Entries of the Protein Data Bank: downloaded once, and what they were at first ever after.

The cache folder holds
    structures/2cba.pdb           the entry as downloaded (or as put there by hand)
    structures/2cba.pdb.sha256    its checksum, noted when it was first seen
"""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

from orbmm.download.checksum import note_checksum, note_path, read_checksum
from orbmm.download.transfer import Limits
from orbmm.errors import DownloadError, PreparationError
from orbmm.files import hash_file, read_file
from orbmm.settings.paths import CACHE_VARIABLE, cache_folder

ENTRY_LIMITS = Limits(largest_bytes=256 << 20)
"""A model of 99,999 atoms, the most that the format can number, takes 8 MB; some entries hold many models."""

_ENTRY_URL = "https://files.rcsb.org/download/{}.pdb"
_log = logging.getLogger(__name__)


def fetch_entry(entry: str) -> tuple[Path, str]:
    """Return the cached file of a PDB entry and its address; downloaded whole or not at all.

    Raises PreparationError: no such entry, no network, no structure, or another file than was first seen.
    """
    if not re.fullmatch(r"[0-9][A-Za-z0-9]{3}", entry):
        raise PreparationError(f"'{entry}' is no entry of the Protein Data Bank: four characters such as 2CBA")
    address = _ENTRY_URL.format(entry.upper())
    path = cache_folder() / "structures" / f"{entry.lower()}.pdb"
    try:
        expected = read_checksum(path)
        if not path.is_file():
            _download(address, path, expected)
        _check_against_note(path, expected)
    except OSError as error:
        raise PreparationError(
            f"the entry {path} cannot be kept there or read ({error.strerror or error}): "
            f"make room or rights there, or set {CACHE_VARIABLE} to another folder"
        ) from error
    return path, address


def _download(address: str, path: Path, expected: str | None) -> None:
    from orbmm.download.once import download_once  # requests, which no other source needs

    _log.info("downloading %s", address)
    try:
        download_once(address, path, lambda partial: _check_arrival(address, partial, expected, path), ENTRY_LIMITS)
    except DownloadError as error:
        raise PreparationError(
            f"{address} cannot be downloaded ({error}): fetch the entry elsewhere and either name the "
            f"file as source or put it at {path}"
        ) from error


def _check_arrival(address: str, partial: Path, expected: str | None, path: Path) -> None:
    fault = _find_fault(partial) or _find_missing_end(partial)
    if fault:
        raise PreparationError(
            f"what {address} answered was not kept, because it {fault} ({partial.stat().st_size} bytes, perhaps the "
            f"page of a login or proxy): try again, or put the entry at {path}"
        )
    sha256 = hash_file(partial)
    if expected not in (None, sha256):
        raise PreparationError(
            f"{address} is not what it was when first seen (sha256 {sha256}, expected {expected}), and was not kept: "
            f"delete {note_path(path)} to accept another version of the entry"
        )


def _check_against_note(path: Path, expected: str | None) -> None:
    """Note the checksum of a file seen for the first time; later, raise PreparationError where it differs."""
    sha256 = hash_file(path)
    if expected is None:
        fault = _find_fault(path)
        if fault:
            raise PreparationError(f"{path} {fault}: delete it, and the entry will be downloaded")
        note_checksum(path, sha256)
    elif expected != sha256:
        raise PreparationError(
            f"{path} is not what it was when first seen (sha256 {sha256}, expected {expected}): "
            f"delete it to download it again, and {note_path(path).name} too to accept another version of the entry"
        )


def _find_fault(path: Path) -> str | None:
    """Say what keeps a file from being a structure with atoms, None where it is one."""
    try:
        lines = read_file(path, ENTRY_LIMITS.largest_bytes).decode("utf-8").splitlines()
        atoms = [line for line in lines if line.startswith(("ATOM  ", "HETATM"))]
        if not atoms:
            return "holds no atoms"
        if all(math.isfinite(float(line[at : at + 8])) for line in atoms for at in (30, 38, 46)):
            return None
    except ValueError:
        pass
    return "is no PDB file"


def _find_missing_end(path: Path) -> str | None:
    """An answer of unknown length that broke off is recognised by its last record alone."""
    lines = read_file(path, ENTRY_LIMITS.largest_bytes).decode("utf-8").splitlines()
    return None if any(line.rstrip() == "END" for line in lines) else "has no END record, so that it may be torn"
