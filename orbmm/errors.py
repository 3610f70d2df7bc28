"""Everything that orbmm raises on purpose; each error says what, got, expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST_REASON = 120  # characters; a grammar of mdtraj has thousands


class OrbmmError(Exception):
    """Root of all errors a caller can act on; the command line prints them as one line."""

    exit_code = 2


class ModelError(OrbmmError):
    """An unknown model name, or an option that the model does not take."""


class CheckpointError(OrbmmError):
    """A weights file that is absent, torn, altered or of another architecture."""


class DownloadError(OrbmmError):
    """A download that failed; its text is the reason alone, to be put into a sentence that says what to do."""


class DeviceError(OrbmmError):
    """A device or precision that is not available here."""


class StructureError(OrbmmError):
    """Coordinates, cell or elements that no model can work with."""


class GraphError(OrbmmError):
    """A neighbour search that cannot be carried out completely."""


class SettingsError(OrbmmError):
    """A settings file or option with an unknown key, a wrong type or an impossible value."""


class PreparationError(OrbmmError):
    """A structure file that cannot be made into a simulation box."""


class ForceError(OrbmmError):
    """A force kind that cannot run with the installed versions."""


class RunError(OrbmmError):
    """A run folder that is missing, taken, damaged or does not fit the settings."""


class DiskFull(RunError):
    """No room for what a run writes."""

    exit_code = 3


class OutOfMemory(OrbmmError):
    """No memory for an evaluation of the network."""

    exit_code = 3


class UnstableRun(OrbmmError):
    """Dynamics that went wrong and were stopped."""

    exit_code = 3


class AnalysisError(OrbmmError):
    """A trajectory that cannot be analysed as asked."""


class MissingDependency(OrbmmError):
    """An optional package that the asked-for feature needs."""


class UnsafeFile(OrbmmError):
    """A file that is not read or written: a link, no regular file, or larger than such a file can be.

    path: of the file; fault: what is wrong with it, as in "is a link"
    """

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path} {fault}: it is left alone; put the file itself there, or remove it")
        self.path = path
        self.fault = fault


class OutputError(OrbmmError):
    """A file that a command would have to replace, and that orbmm did not write.

    path: of the file; fault: why it is not replaced, as in "is a link"; remedy: what to do
    """

    def __init__(self, path: Path, fault: str, remedy: str = "name another --output, or move it away") -> None:
        super().__init__(f"{path} {fault}: it is left alone; {remedy}")
        self.path = path
        self.fault = fault


def name_nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def quote_reason(said: object) -> str:
    """What another library says was wrong (its error, or the text), in brackets after a space; nothing where it says none or goes on and on."""
    reason = (str(said).splitlines() or [""])[0].strip()
    return f" ({reason})" if 0 < len(reason) <= LONGEST_REASON else ""
