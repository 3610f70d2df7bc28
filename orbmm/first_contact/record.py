"""The record of a first contact: what met, what was found, and the file that keeps it in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orbmm.errors import UnsafeFile
from orbmm.files import make_folder, read_json, write_file
from orbmm.first_contact.case import Case
from orbmm.first_contact.compare import Answers, Comparison, Errors
from orbmm.settings.paths import cache_folder

FORMAT = 2
_PACKAGES = ("orbmm", "torch", "triton", "warp-lang", "nvalchemi-toolkit-ops", "openmm", "openmmtorch", "numpy")
_PACKAGE = Path(__file__).parents[1]
_DRIVER = Path("/proc/driver/nvidia/version")
_LARGEST_BYTES = 1_000_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A GPU with its software. name: such as "NVIDIA H100"; driver: its version, "unknown" where it is not told."""

    name: str
    driver: str
    torch: str
    cuda: str


@dataclass(frozen=True)
class Meeting:
    """All that the comparison depends on. A change of any field makes a new meeting.

    options: of the execution, by name; elements: atomic numbers; periodic: with or without a box
    code: hash of the code that computes, which changes between two states of one version
    """

    model: str
    weights_sha256: str
    precision: str
    options: dict[str, Any]
    elements: tuple[int, ...]
    periodic: bool
    card: Card
    code: str

    @property
    def key(self) -> str:
        """Return a short text that differs for every other meeting."""
        return hash_fields(FORMAT, asdict(self))


@dataclass(frozen=True)
class Contact:
    """A meeting and its result.

    faults: empty if the GPU computes as the CPU does; seconds: that the comparison took
    """

    meeting: Meeting
    comparison: Comparison
    faults: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; no path or name of this machine is in it."""
        return {"format": FORMAT, **asdict(self)}


def hash_fields(file_format: int, fields: dict[str, Any]) -> str:
    """Return a short text that differs for any other value of a field, and for another format of the file."""
    text = json.dumps({"format": file_format, **fields}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def describe_card(device: torch.device) -> Card:
    """Return the name of a GPU, its driver and torch's version."""
    return Card(
        name=torch.cuda.get_device_name(device),
        driver=_read_driver(),
        torch=torch.__version__,
        cuda=str(torch.version.cuda),
    )


def _read_driver() -> str:
    try:
        found = re.search(r"Module\s+(\d[\d.]+)", _DRIVER.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return "unknown"
    return found[1] if found else "unknown"


@cache
def hash_code() -> str:
    """Return a hash of the source files of the network and of the neighbour search."""
    digest = hashlib.sha256()
    for room in ("model", "graph"):
        for path in sorted((_PACKAGE / room).rglob("*.py")):
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def find_faults(comparison: Comparison, may_vary: bool) -> tuple[str, ...]:
    """Return what is wrong, as parts of a sentence.

    may_vary: a compiled network on a GPU sums in no fixed order, so a repeat may differ in its last bits
    """
    faults = [] if comparison.weights_agree else ["the weights on it are not those of the file"]
    for name, words, unit in (
        ("forces_mev_per_angstrom", "forces differ", "meV/Å"),
        ("energy_mev_per_atom", "the energy differs", "meV/atom"),
        ("confidence", "the confidence differs", ""),
    ):
        error, limit = getattr(comparison.errors, name), getattr(comparison.limits, name)
        if error is not None and limit is not None and not error <= limit:
            faults.append(f"{words} by {error:.3g} {unit}".rstrip() + f" (limit {limit:.3g})")
    if not comparison.exact_head:
        faults.append("its energy head is not computed in float64")
    if not comparison.repeats and not may_vary:
        faults.append("a second evaluation gives other numbers than the first")
    return tuple(faults)


def read_contact(meeting: Meeting) -> Contact | None:
    """Return the kept result of a meeting, None if there is none or it cannot be read."""
    path = _path(meeting)
    try:
        kept = read_json(path, _LARGEST_BYTES)
        if kept["meeting"] != json.loads(json.dumps(asdict(meeting))):
            return None
        contact = _parse(kept)
        if contact.faults or find_faults(contact.comparison, bool(meeting.options["compile"])):
            raise ValueError("it holds no pass, and only those are kept")
        return contact
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, UnsafeFile) as error:
        _LOG.warning("%s cannot be read (%s): the comparison is done again", path, error)
        return None


def write_contact(contact: Contact) -> Path:
    """Keep a result in the cache and return its path. Raises OSError where the cache cannot be written."""
    path = _path(contact.meeting)
    make_folder(path.parent)
    write_file(path, (json.dumps(contact.to_dict(), indent=1) + "\n").encode())
    return path


def write_report(contact: Contact, case: Case, answers: dict[str, Answers]) -> Path:
    """Write all that others need to look into a fault, and drop an earlier pass of the same meeting.

    No path or name of this machine is in it, and no coordinate of the user. Raises OSError where it cannot be written.
    """
    versions = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    report = {
        **contact.to_dict(),
        "versions": {"python": platform.python_version(), **versions},
        "structure": _to_lists(case),
        "answers": {name: _to_lists(found) for name, found in answers.items()},
    }
    _path(contact.meeting).unlink(missing_ok=True)
    path = _folder() / "reports" / f"{contact.meeting.key}.json"
    make_folder(path.parent)
    write_file(path, (json.dumps(report) + "\n").encode())
    return path


def _to_lists(values: Case | Answers) -> dict[str, Any]:
    """Return the fields with lists in place of arrays."""
    fields = vars(values)
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def list_contacts() -> list[Contact]:
    """Return all results in the cache that can be read, in the order of their models and precisions."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            found.append(_parse(read_json(path, _LARGEST_BYTES)))
        except (OSError, ValueError, KeyError, TypeError, UnsafeFile):
            _LOG.warning("%s cannot be read: remove it", path)
    return sorted(found, key=lambda contact: (contact.meeting.model, contact.meeting.precision))


def _folder() -> Path:
    return cache_folder() / "first-contact"


def _path(meeting: Meeting) -> Path:
    return _folder() / f"{meeting.key}.json"


def _parse(kept: dict[str, Any]) -> Contact:
    meeting = {**kept["meeting"], "card": Card(**kept["meeting"]["card"])}
    meeting["elements"] = tuple(meeting["elements"])
    comparison = {**kept["comparison"]}
    for name in ("errors", "limits"):
        comparison[name] = Errors(**comparison[name])
    return Contact(Meeting(**meeting), Comparison(**comparison), tuple(kept["faults"]), float(kept["seconds"]))
