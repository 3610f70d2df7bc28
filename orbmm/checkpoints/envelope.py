"""Check the container format of a weights file, in little memory, before torch or safetensors opens it."""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from orbmm.errors import CheckpointError

_LARGEST_TABLE = 1 << 24
"""Largest table of names and shapes [bytes]; that of published files has 30 kB."""

_ALLOWED_GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch "
    r"(BFloat16|Bool|Byte|Char|ComplexDouble|ComplexFloat|Double|Float|Half|Int|Long|Short)Storage"
)
"""The only callables that the pickle of a state dict may name. torch itself would also call bytearray or Tensor, with
any size that the file gives."""

_OTHER_CALLS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID")
_TORN = "is torn or no weights file: copy or download it again"
_MORE_THAN_TENSORS = (
    "is no weights file, or holds more than tensors, which is refused because opening it could run "
    "foreign code: give a file written by torch.save(model.state_dict(), FILE) or a .safetensors file"
)


def looks_like_weights(path: Path) -> bool:
    """Return True for a complete zip archive (as torch writes it), a complete safetensors file, or a pickle."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[:1] == b"\x80" or zipfile.is_zipfile(path) or (head[8:9] == b"{" and _is_whole_safetensors(path))


def check_envelope(path: Path, name: str, largest: int) -> Literal["torch", "safetensors"]:
    """Return the format of a weights file after checking that opening it needs no more memory than its tensors.

    name: the name of the file in error messages; largest: the most bytes that its tensors may need together
    Raises CheckpointError for an archive that unpacks to more, for a pickle that calls anything except the functions
    that rebuild tensors, for a table of names above 16 MiB, and for an old torch file, whose size is known only after
    unpickling.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror or error})") from error
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        _check_safetensors(path, head, name, largest)
        return "safetensors"
    if head[:2] == b"PK":
        _check_zip(path, name, largest)
        return "torch"
    if head[:1] == b"\x80":
        raise CheckpointError(
            f"{name} is a bare pickle, as torch wrote them before its version 1.6: give a file written by "
            "torch.save(model.state_dict(), FILE) of a newer torch, or a .safetensors file"
        )
    raise CheckpointError(f"{name} {_TORN}")


def _check_safetensors(path: Path, head: bytes, name: str, largest: int) -> None:
    table, size = int.from_bytes(head[:8], "little"), path.stat().st_size
    if len(head) < 9 or table > size - 8:
        raise CheckpointError(f"{name} is torn or no safetensors file: copy or download it again")
    if table > _LARGEST_TABLE:
        raise CheckpointError(f"{name} has a table of {table:,} bytes, expected at most {_LARGEST_TABLE:,}")
    if size > largest + table:
        raise CheckpointError(_oversized(name, size, largest))


def _check_zip(path: Path, name: str, largest: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > largest:
                raise CheckpointError(_oversized(name, unpacked, largest))
            # torch finds names whatever their case, and takes the offsets of the archive from the start of the file.
            pickles = [member for member in members if member.orig_filename.lower().split("/")[1:] == ["data.pkl"]]
            shifted = all(member.header_offset for member in members)
            if shifted or len(pickles) != 1 or pickles[0].file_size > _LARGEST_TABLE:
                raise CheckpointError(f"{name} {_TORN}")
            content = archive.read(pickles[0])
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{name} {_TORN}") from error
    _check_pickle(content, name)


def _check_pickle(content: bytes, name: str) -> None:
    """Read the instructions of a pickle without executing them."""
    try:
        for code, argument, _ in pickletools.genops(content):
            unknown = code.name == "GLOBAL" and not _ALLOWED_GLOBALS.fullmatch(str(argument))
            if unknown or code.name in _OTHER_CALLS:
                raise CheckpointError(f"{name} {_MORE_THAN_TENSORS}")
    except ValueError as error:
        raise CheckpointError(f"{name} {_TORN}") from error


def _oversized(name: str, got: int, largest: int) -> str:
    return f"{name} unpacks to {got:,} bytes, and such weights take at most {largest:,}: it is not what it should be"


def _is_whole_safetensors(path: Path) -> bool:
    """Return True if the file is as long as the table at its start says; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:
        if int.from_bytes(stream.read(8), "little") > _LARGEST_TABLE:
            return False
    try:
        with safe_open(path, framework="numpy"):
            return True
    except SafetensorError:
        return False
