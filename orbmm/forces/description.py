"""The description that a serialised System holds: which network acts on which atoms, as short JSON, without weights."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from orbmm.errors import ForceError, SettingsError, name_nearest
from orbmm.model.inference.execution import Execution
from orbmm.settings.model import ModelSettings

FORMAT = 5
"""The version of the format; raise it whenever a reader of the old text would misunderstand the new one."""

_ADDED = {"first_contact": "check", "fast": None, "threads": None, "copies": 1}  # in texts from before these
_EXECUTION = tuple(each.name for each in dataclasses.fields(Execution))
_SETTINGS = ("precision", "device", "charge", "multiplicity", "first_contact", *_EXECUTION)


class Description(Protocol):
    """The description of any force: whether it uses the box, and the text that find_evaluator understands."""

    @property
    def periodic(self) -> bool:
        """Return True if the force uses the box."""
        ...

    def to_json(self) -> str:
        """Return the text that a serialised System holds."""
        ...


@dataclass(frozen=True)
class ForceDescription:
    """The description of a network in a force: everything except coordinates and box that energy and forces depend on.

    model: name in the catalogue; weights_sha256: 64 hexadecimal digits of the weights file
    precision, device: as in ModelSettings; "auto" and "cuda" follow OpenMM's GPU, else take the first; "auto" falls
        back to the CPU
    atomic_numbers: of the atoms that the network acts on, in its order
    atoms: their indices in the System, None for all atoms
    periodic: True if the force uses the box
    charge, multiplicity: of the atoms that the network acts on; None if the model does not take them
    execution: how the network is computed, which may change the rounding
    first_contact: "check" or "skip" of the comparison of a GPU with the CPU
    fast: a network on the same atoms whose energy and forces are subtracted, None for none
    copies: how often these atoms are in the System, one copy after the other, none of which sees another
    """

    model: str
    weights_sha256: str
    precision: str
    device: str
    atomic_numbers: tuple[int, ...]
    atoms: tuple[int, ...] | None
    periodic: bool
    charge: int | None = None
    multiplicity: int | None = None
    execution: Execution = field(default_factory=Execution)
    first_contact: str = "check"
    fast: ForceDescription | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        for name, is_valid in _check_values(self).items():
            if not is_valid:
                raise ForceError(f"the description of a force has {name} = {shorten(getattr(self, name))}: not valid")

    def to_json(self) -> str:
        """Return the text that from_json reads; the fields of the execution are among the others."""
        return json.dumps({"format": FORMAT, **self._list_entries()}, separators=(",", ":"), sort_keys=True)

    def _list_entries(self) -> dict[str, Any]:
        entries = dataclasses.asdict(self)
        entries |= entries.pop("execution")
        del entries["fast"]
        if self.copies == 1:
            del entries["copies"]
        return entries if self.fast is None else entries | {"fast": self.fast._list_entries()}

    @classmethod
    def from_json(cls, text: str) -> ForceDescription:
        """Return the description in a text of to_json.

        Raises ForceError for a text of another format, with an unknown or missing key, or an impossible value.
        """
        return cls._from_entries(read_entries(text))

    @classmethod
    def _from_entries(cls, entries: dict[str, Any]) -> ForceDescription:
        entries = _ADDED | entries
        check_keys(entries, {*_SETTINGS, *(each.name for each in dataclasses.fields(cls))} - {"execution"})
        for name in ("atomic_numbers", "atoms"):
            if isinstance(entries[name], list):
                entries[name] = tuple(entries[name])
        if isinstance(entries["fast"], dict):
            entries["fast"] = cls._from_entries(entries["fast"])
        execution = Execution.from_settings(_check_settings(entries))
        return cls(**{name: value for name, value in entries.items() if name not in _EXECUTION}, execution=execution)


def is_dispersion(text: str) -> bool:
    """Return True for a text of orbmm.forces.dispersion, which describes no network."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError:
        return False
    return isinstance(entries, dict) and "dispersion" in entries


def read_entries(text: str, expected: int = FORMAT) -> dict[str, Any]:
    """Return the entries of the JSON text, without its format number. Raises ForceError unless that is the expected."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ForceError(f"the description of a force is not JSON ({error}): {shorten(text)}") from error
    if not isinstance(entries, dict):
        raise ForceError(f"the description of a force must be a JSON object, got {shorten(text)}")
    stored = entries.pop("format", None)
    if stored != expected:
        raise ForceError(
            f"the description of a force has format {stored!r}, and this orbmm reads format {expected}: "
            "create the System again, or use the version of orbmm that wrote it"
        )
    return entries


def check_keys(entries: dict[str, Any], known: set[str]) -> None:
    """Raise ForceError for an unknown or a missing key."""
    for key in entries:
        if key not in known:
            raise ForceError(f"the description of a force has the unknown key '{key}': {name_nearest(key, known)}")
    missing = sorted(known - entries.keys())
    if missing:
        raise ForceError(f"the description of a force lacks {', '.join(missing)}: create the System again")


def _check_settings(entries: dict[str, Any]) -> ModelSettings:
    """Return those entries that are settings of a model, checked as in a settings file."""
    try:
        return ModelSettings(**{name: entries[name] for name in _SETTINGS})
    except SettingsError as error:
        raise ForceError(f"the description of a force is not valid: {error}") from error


def _check_values(description: ForceDescription) -> dict[str, bool]:
    """Return for each field that is not a setting whether its value is possible."""
    atoms, numbers, hash_ = description.atoms, description.atomic_numbers, description.weights_sha256
    copies = description.copies
    return {
        "model": isinstance(description.model, str),
        "weights_sha256": isinstance(hash_, str) and re.fullmatch("[0-9a-f]{64}", hash_) is not None,
        "atomic_numbers": are_counts(numbers) and len(numbers) > 0 and min(numbers) >= 1,
        "atoms": atoms is None or (are_counts(atoms) and len(atoms) == len(set(atoms)) == len(numbers)),
        "periodic": isinstance(description.periodic, bool),
        "copies": are_counts((copies,)) and copies >= 1 and (copies == 1 or atoms is None),
        "fast": description.fast is None or _is_of_same_atoms(description, description.fast),
    }


def _is_of_same_atoms(one: ForceDescription, other: Any) -> bool:
    """Return whether another description is of a single network on the same atoms."""
    names = ("atomic_numbers", "atoms", "periodic", "device", "copies")
    return (
        isinstance(other, ForceDescription)
        and other.fast is None
        and all(getattr(one, name) == getattr(other, name) for name in names)
    )


def are_counts(values: Any) -> bool:
    """Return True for a tuple of whole numbers, none below zero."""
    return isinstance(values, tuple) and all(type(value) is int and value >= 0 for value in values)


def shorten(value: Any) -> str:
    """Return a value as text of at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
