"""Where a structure comes from: a file of one's own, or an entry of the Protein Data Bank."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orbmm.errors import MissingDependency, PreparationError
from orbmm.settings.cache import cache_folder

ENTRY_PREFIX = "pdb:"
_ENTRY_URL = "https://files.rcsb.org/download/{}.pdb"
_FORMATS: dict[str, Literal["pdb", "cif"]] = {".pdb": "pdb", ".ent": "pdb", ".cif": "cif", ".mmcif": "cif"}


@dataclass(frozen=True)
class StructureFile:
    """The text of a structure file and where it came from.

    name: short name, such as "2cba"
    kind: its format
    origin: the path or address it was read from
    sha256: of the file as it was read
    """

    name: str
    text: str
    kind: Literal["pdb", "cif"]
    origin: str
    sha256: str


def read_source(source: str) -> StructureFile:
    """The structure file behind "pdb:2CBA" (downloaded once) or a path.

    Raises PreparationError: no such file, empty, not PDB or mmCIF by its ending, no such entry, no network.
    """
    if source.lower().startswith(ENTRY_PREFIX):
        return _read_file(*_fetch_entry(source[len(ENTRY_PREFIX) :]))
    return _read_file(Path(source), source)


def _read_file(path: Path, origin: str) -> StructureFile:
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PreparationError(
            f"the source '{origin}' is neither a structure file (.pdb, .ent, .cif, .mmcif), nor an entry "
            "such as pdb:2CBA, nor a built-in system (alanine-dipeptide, water)"
        )
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except FileNotFoundError as error:
        raise PreparationError(f"there is no structure file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationError(f"the structure file {path} cannot be read: {error}") from error
    if not text.strip():
        raise PreparationError(f"the structure file {path} is empty")
    return StructureFile(path.stem.lower(), text, kind, origin, hashlib.sha256(content).hexdigest())


def _fetch_entry(entry: str) -> tuple[Path, str]:
    """The cached file of a PDB entry and its address; downloaded whole or not at all."""
    if not re.fullmatch(r"[0-9][A-Za-z0-9]{3}", entry):
        raise PreparationError(f"'{entry}' is no entry of the Protein Data Bank: four characters such as 2CBA")
    address = _ENTRY_URL.format(entry.upper())
    folder = cache_folder() / "structures"
    try:
        import pooch
        import requests
    except ImportError as error:
        raise MissingDependency("downloading PDB entries needs the package 'pooch': pip install pooch") from error
    try:
        path = pooch.retrieve(address, known_hash=None, fname=f"{entry.lower()}.pdb", path=folder, progressbar=False)
    except (requests.RequestException, OSError, ValueError) as error:
        raise PreparationError(
            f"{address} cannot be downloaded ({type(error).__name__}); fetch the entry elsewhere and either name the "
            f"file as source or put it at {folder / (entry.lower() + '.pdb')}"
        ) from error
    return Path(path), address
