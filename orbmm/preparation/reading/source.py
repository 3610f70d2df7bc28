"""Read the source of a structure: a file, or an entry of the Protein Data Bank."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orbmm.errors import PreparationError
from orbmm.files import read_file
from orbmm.preparation.reading.databank import fetch_entry

ENTRY_PREFIX = "pdb:"
_LARGEST_BYTES = 1 << 30  # some ten million atoms
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

    Raises PreparationError: no such file, empty, not PDB or mmCIF by its ending, no such entry, no network,
    a downloaded entry that was altered since; UnsafeFile for a pipe, a device or a file that is far too large.
    """
    if source.lower().startswith(ENTRY_PREFIX):
        return _read_file(*fetch_entry(source[len(ENTRY_PREFIX) :]))
    return _read_file(Path(source), source)


def _read_file(path: Path, origin: str) -> StructureFile:
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PreparationError(
            f"the source '{origin}' is neither a structure file (.pdb, .ent, .cif, .mmcif), nor an entry "
            "such as pdb:2CBA, nor a built-in system (alanine-dipeptide, water)"
        )
    try:
        content = read_file(path, _LARGEST_BYTES)
    except FileNotFoundError as error:
        raise PreparationError(f"there is no structure file {path}") from error
    except OSError as error:
        raise PreparationError(f"the structure file {path} cannot be read: {error}") from error
    text = _decode(content, path)
    if not text.strip():
        raise PreparationError(f"the structure file {path} is empty")
    return StructureFile(path.stem.lower(), text, kind, origin, hashlib.sha256(content).hexdigest())


def _decode(content: bytes, path: Path) -> str:
    """Return text of UTF-8 or UTF-16, without its byte-order mark, or of Latin-1, as in remarks of old files.

    Its lines end as Python's do, since readers of a text in memory know no other ends.
    """
    wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        if b"ATOM" not in content.upper():
            raise PreparationError(f"the structure file {path} cannot be read: it is no text with atoms") from error
        text = content.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
