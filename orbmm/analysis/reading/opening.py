"""Open trajectory files by mdtraj: any path that a file system has, readers in C silenced, faults as one sentence."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats.pdbx.PdbxReader import SyntaxError as CifError
from mdtraj.formats.psf import PSFError
from mdtraj.formats.registry import FormatRegistry

from orbmm.errors import AnalysisError, ConvertBareErrors, quote_reason
from orbmm.preparation.reading.damage import find_damage
from orbmm.run_files.xtc import find_xtc_fault

READING_ERRORS = (
    OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError, ArithmeticError,
    AssertionError, EOFError, SyntaxError, MemoryError, struct.error, zlib.error, CifError, PSFError,
)  # fmt: skip
"""Exceptions that readers of mdtraj, and what they use, raise for files that they cannot read, within
`ConvertBareErrors`.
"""
PYTABLES_SUFFIXES = (".h5", ".hdf5", ".lh5")
_PACKED = (".gz", ".bz2")
_PDB = (".pdb", ".ent", ".pdb.gz")
_CIF = (".cif", ".mmcif", ".pdbx", ".cif.gz", ".mmcif.gz", ".pdbx.gz")
_MODEL_NUMBER = re.compile(rb"(?i)\bpdbx_PDB_model_num\b")
_TEXT = (".gro", ".xyz", ".lammpstrj", ".mdcrd", ".crd", ".arc", ".rst7", ".inpcrd", ".restrt")
_COUNTED = (".mdcrd", ".crd")  # hold no number of atoms
_PLACES = (tempfile.gettempdir, lambda: "/dev/shm", lambda: "/tmp", lambda: "/var/tmp")  # for a link


def find_suffix(path: Path) -> str:
    """Return the suffix that names the format, in small letters: .dcd, .pdb.gz."""
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() + last if last in _PACKED else last


def refuse_unpickling_format(path: Path) -> None:
    """Raise AnalysisError for HDF5: mdtraj reads it with PyTables, which unpickles attributes and so runs code."""
    if path.suffix.lower() in PYTABLES_SUFFIXES:
        raise AnalysisError(
            f"{path}: HDF5 is not read, since its reader can run code that the file holds; "
            "if you trust the file, load it in mdtraj and save it as XTC, with its times"
        )


def refuse_unknown_format(path: Path) -> None:
    """Raise AnalysisError for a suffix that no reader of trajectories goes by."""
    if find_suffix(path) not in FormatRegistry.fileobjects:
        raise AnalysisError(
            f"{path}: '{find_suffix(path)}' is no suffix of a trajectory; give XTC, TRR, DCD, NetCDF, a LAMMPS dump "
            "(.lammpstrj) or a PDB file"
        )


def refuse_damaged_text(path: Path, what: str) -> None:
    """Raise AnalysisError for a file of text that ends within a line, or a PDB file with an atom that is not whole.

    what: structure or trajectory. Readers take a number that is cut for a whole one, and skip lines that they do not
    know.
    """
    try:
        fault = _find_damage(path, find_suffix(path))
    except READING_ERRORS as error:
        reason = explain_failure(error, path)
        raise AnalysisError(f"{path}: cannot be read as a {what}{reason}; is it whole?") from error
    if fault is not None:
        raise AnalysisError(f"{path}: cannot be read as a {what}, because it is damaged: {fault}")


def _find_damage(path: Path, suffix: str) -> str | None:
    if suffix in (*_PDB, *_CIF):
        with (gzip.open if suffix.endswith(".gz") else open)(path, "rb") as packed:
            content = packed.read()
        if suffix in _CIF:
            name = _MODEL_NUMBER.search(content)
            wrong = name is not None and name[0] != b"pdbx_PDB_model_num"
            if wrong:
                return "mdtraj reads the column pdbx_PDB_model_num in these capitals alone; write it so"
            return find_damage(content.decode("utf-8-sig", "replace"), "cif")
        if content.startswith(codecs.BOM_UTF8):
            return "it begins with a byte-order mark, so that its first line is lost; save it as UTF-8 without one"
        return find_damage(content.decode("utf-8", "replace"), "pdb")
    if suffix not in _TEXT or path.stat().st_size == 0:
        return None
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return None if file.read() in (b"\n", b"\r") else "ends within a line"


@contextmanager
def lend_plain_path(path: Path) -> Iterator[str]:
    """Yield a path of the file that every reader opens: in ASCII, with the suffix in small letters.

    Readers in C take no other letters, and all go by the suffix. The file is reached by a link where its own path has
    others. Raises AnalysisError where no folder for the link can be written.
    """
    plain, suffix = str(path), find_suffix(path)
    if plain.isascii() and plain.endswith(suffix):
        yield plain
        return
    with tempfile.TemporaryDirectory(prefix="orbmm-", dir=_find_plain_folder(path)) as folder:
        link = Path(folder) / f"trajectory{suffix if suffix.isascii() else ''}"
        link.symlink_to(path.resolve())
        yield str(link)


def _find_plain_folder(path: Path) -> str:
    for place in (find() for find in _PLACES):
        if place.isascii() and os.access(place, os.W_OK):
            return place
    raise AnalysisError(f"{path}: can be opened by a path in ASCII letters alone; set TMPDIR to a folder with one")


@contextmanager
def open_trajectory(path: Path, atoms: int | None = None) -> Iterator[Any]:
    """Yield mdtraj's open file of a trajectory. atoms: for formats that do not hold their number.

    Raises AnalysisError for an XTC file that its reader in C must not unpack.
    """
    if find_suffix(path) == ".xtc":
        _refuse_damaged_xtc(path)
    told = {"n_atoms": atoms} if find_suffix(path) in _COUNTED and atoms is not None else {}
    with ConvertBareErrors():
        with lend_plain_path(path) as plain, silence_c_readers():
            file = md.open(plain, **told)
        with file:
            yield file


def _refuse_damaged_xtc(path: Path) -> None:
    """Raise AnalysisError for an XTC file with which mdtraj's reader would write beyond its memory."""
    status = path.stat()
    fault = _find_xtc_fault(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    if fault is not None:
        raise AnalysisError(f"{path}: {fault}; take the file from a copy, or cut it before that frame")


@lru_cache(maxsize=8)
def _find_xtc_fault(path: Path, state: tuple[int, ...]) -> str | None:
    """Return the fault of a file in a state; each observable opens the file again, which is checked once."""
    return find_xtc_fault(path)


def explain_failure(error: Exception, path: Path) -> str:
    """Return why a reader failed as ' (reason)': the first line of its error, '' where that says nothing to a user."""
    if isinstance(error, UnicodeDecodeError):
        return " (it is no text, as its suffix says)"
    if isinstance(error, ImportError):
        return f" (its reader needs the package {error.name})" if error.name else ""
    if isinstance(error, MemoryError):
        return " (it asks for more memory than there is)"
    if isinstance(error, LookupError):
        return ""  # a key or a number
    words = (str(error).splitlines() or [""])[0]
    if "orbmm-" in words:
        return ""  # the path of the link
    return quote_reason(words.replace(str(path), path.name))


@contextmanager
def silence_c_readers() -> Iterator[None]:
    """Send the process's standard output and error to nowhere while the block runs; NumPy's warnings are left out."""
    kept = {stream: os.dup(stream) for stream in (1, 2) if _is_open(stream)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in kept:
            os.dup2(nowhere, stream)
        with np.errstate(all="ignore"):  # a box of zeros, which is refused later
            yield
    finally:
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
