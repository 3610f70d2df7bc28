"""Write the files of a command into a folder without replacing files that orbmm did not write.

A record in the folder holds the sha256 of each file written. A file is replaced only if its content is a recorded one,
so a file that a user put there or changed is never lost. The record is written twice: before the files, with the former
and the new sha256, and after them. So the files are also recognised if the process is killed in between.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import OutputError, UnsafeFile
from orbmm.files import hash_file, read_file, read_json, write_file

RECORD_NAME = ".written-by-orbmm.json"
_LARGEST = 1 << 31  # bytes of a file that is recognised by its content
_ANALYSIS = {"verdict", "checks", "limits", "discard_ps", "results", "missing", "run"}
_PREPARATION = {"origin", "sha256", "protonation", "solvation", "relaxation", "box_shape", "box_nm"}

Record = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a command writes to.

    inputs: files that the command reads and therefore never replaces
    editable: names of files that users may change; these are recognised by their names, with any content
    """

    path: Path
    inputs: tuple[Path, ...] = ()
    editable: tuple[str, ...] = ()

    def check(self, names: Iterable[str]) -> None:
        """Raise OutputError for a file that may not be replaced, OSError for a folder that cannot be written."""
        check_writable(self.path)
        record = _read_record(self.path)
        for name in names:
            self._check_file(name, record)

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write the files in the order given, each complete or not at all, into an existing folder.

        Raises OutputError for a file that may not be replaced, before anything is written; OSError as `open` does.
        """
        with _lock(self.path):
            record = _read_record(self.path)
            former = {name: self._check_file(name, record) for name in contents}
            new = {name: [hashlib.sha256(content).hexdigest()] for name, content in contents.items()}
            both = {name: sorted({*new[name], *former[name]}) for name in contents}
            _write_record(self.path, {**record, **both})
            for name, content in contents.items():
                self._check_file(name, both)  # it may have been put there in the meantime
                write_file(self.path / name, content)
            _write_record(self.path, {**record, **new})

    def _check_file(self, name: str, record: Record) -> list[str]:
        """Return the sha256 of a file that may be replaced, nothing if there is no file.

        Raises OutputError for a file that may not be replaced; OSError as `open` does.
        """
        path = self.path / name
        if not refuse_special(path):
            return []
        for read in self.inputs:
            with suppress(FileNotFoundError):
                if os.path.samefile(path, read):
                    raise OutputError(path, "is read by this command")
        content = hash_file(path) if name in record else None
        if content is None or (content not in record[name] and name not in self.editable):
            raise OutputError(path, "was not written by orbmm, or was changed since")
        return [content]


def refuse_special(path: Path) -> bool:
    """Return whether a regular file has this name. Raises OutputError for a link, a folder or anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(path, f"is {kind}")
    return True


def check_writable(folder: Path) -> None:
    """Raise OSError unless files can be made in the folder, or in its nearest parent that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:  # which names the temporary file
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let only one process at a time write to the folder, if the file system can lock it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_record(folder: Path) -> dict[str, list[str]]:
    """Return the recorded sha256 of each file, by name; nothing for a record that cannot be read."""
    try:
        record = _read_json(folder / RECORD_NAME)
    except FileNotFoundError:
        return {name: [hash_file(folder / name)] for name in _list_unrecorded(folder)}
    return {name: [str(each) for each in known] for name, known in record.items() if isinstance(known, list)}


def _write_record(folder: Path, record: Record) -> None:
    text = json.dumps(record, indent=0, sort_keys=True, ensure_ascii=False) + "\n"
    write_file(
        folder / RECORD_NAME, text.encode(errors="backslashreplace")
    )  # a name that is no UTF-8, as JSON escapes it


def _list_unrecorded(folder: Path) -> list[str]:
    """Return the names of files that an old version of orbmm, which kept no record, wrote into the folder."""
    names: list[str] = []
    with suppress(OSError, UnsafeFile):
        analysis = _read_json(folder / "results.json")
        if analysis.keys() >= _ANALYSIS and isinstance(analysis["results"], dict):
            names += ["results.json", "confidence.pdb", "confidence.cif"]
            names += [f"{name}{suffix}" for name in analysis["results"] for suffix in (".csv", ".npz", ".png", ".svg")]
    with suppress(OSError, UnsafeFile):
        if _read_json(folder / "benchmark.json").keys() >= {"command", "processor", "rows"}:
            names += ["benchmark.json", "benchmark.png"]
    with suppress(OSError, UnsafeFile):
        if _read_json(folder / "runner.json").keys() >= {"command", "processor", "runner"}:
            names += ["runner.json"]
    with suppress(OSError, UnsafeFile):
        if _read_json(folder / "preparation.json").keys() >= _PREPARATION:
            names += ["preparation.json", *_list_prepared(folder / "system.toml")]
    return [name for name in names if _is_file(folder / name)]


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):  # absent, or no file can have the name
        return False


def _list_prepared(settings: Path) -> list[str]:
    """Return the names of settings that preparation wrote, which have no comments, and of the structure in them."""
    with suppress(OSError, UnsafeFile, ValueError, KeyError, TypeError):
        text = read_file(settings, _LARGEST).decode()
        structure = tomllib.loads(text)["system"]["structure"]
        if "#" not in text and structure == Path(structure).name:
            return [settings.name, structure]
    return []


def _read_json(path: Path) -> dict[str, object]:
    """Return the object in a JSON file, an empty one for anything else. Raises OSError as `open` does."""
    with suppress(ValueError):
        found = read_json(path, _LARGEST)
        if isinstance(found, dict):
            return found
    return {}
