"""The errors of orbmm. Each message says what is wrong, which value was given, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST_REASON = 120  # characters; the grammar that mdtraj prints has thousands


class OrbmmError(Exception):
    """Base of all errors that a caller can act on; the command line prints them as one line."""

    exit_code = 2


class ModelError(OrbmmError):
    """An unknown model name, or an option that the model does not take."""


class CheckpointError(OrbmmError):
    """A weights file that is absent, incomplete, changed or of another architecture."""


class DownloadError(OrbmmError):
    """A download that failed. Its text is only the reason; the caller adds what to do."""


class DeviceError(OrbmmError):
    """A device or precision that is not available here."""


class StructureError(OrbmmError):
    """Coordinates, a cell or elements that a model cannot use."""


class GraphError(OrbmmError):
    """A neighbour search that cannot find all neighbours."""


class SettingsError(OrbmmError):
    """A settings file or option with an unknown key, a wrong type or an impossible value."""


class PreparationError(OrbmmError):
    """A structure file that cannot be turned into a simulation box."""


class ForceError(OrbmmError):
    """A force kind that cannot run with the installed versions."""


class RunError(OrbmmError):
    """A run folder that is missing, in use, damaged or does not match the settings."""


class DiskFull(RunError):
    """Not enough disk space for the files of a run."""

    exit_code = 3


class OutOfMemory(OrbmmError):
    """Not enough memory for an evaluation of the network."""

    exit_code = 3


class UnstableRun(OrbmmError):
    """A simulation that became unstable and was stopped."""

    exit_code = 3


class TrainingError(OrbmmError):
    """Labelled frames or a folder of a training that cannot be used."""


class AnalysisError(OrbmmError):
    """A trajectory that cannot be analysed as requested."""


class MissingDependency(OrbmmError):
    """An optional package that the requested feature needs."""


class UnsafeFile(OrbmmError):
    """A file that orbmm refuses to read or write: a link, not a regular file, or too large for its kind.

    path: the file; fault: what is wrong with it, such as "is a link"; remedy: what to do
    """

    def __init__(self, path: Path, fault: str, remedy: str = "put the file itself there, or remove it") -> None:
        super().__init__(f"{path} {fault}: orbmm does not use it; {remedy}")
        self.path = path
        self.fault = fault


class OutputError(OrbmmError):
    """A file that a command would have to replace, but that orbmm did not write.

    path: the file; fault: why it is not replaced, such as "is a link"; remedy: what to do
    """

    def __init__(self, path: Path, fault: str, remedy: str = "name another --output, or move it away") -> None:
        super().__init__(f"{path} {fault}: it is not replaced; {remedy}")
        self.path = path
        self.fault = fault


def name_nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the nearest known name, or all known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def quote_reason(said: object) -> str:
    """Return another library's error message as ' (message)', or '' if it is empty or longer than LONGEST_REASON."""
    reason = (str(said).splitlines() or [""])[0].strip()
    return f" ({reason})" if 0 < len(reason) <= LONGEST_REASON else ""


class ConvertBareErrors:
    """Raise ValueError in place of a bare Exception, which readers of other libraries raise for some files."""

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End the block. Errors that have a class of their own pass."""
        if kind is Exception:
            raise ValueError(str(error)) from error
