"""What a serialised System keeps of us: which network acts on which atoms, as a short JSON text and no network."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

from orbmm.errors import ForceError, name_nearest
from orbmm.settings.model import KERNELS, MEMORY_MODES, PRECISIONS, SEARCHES

FORMAT = 5
"""Raised whenever a reader of the old text would misunderstand the new one."""


@dataclass(frozen=True)
class ForceDescription:
    """All that energy and forces depend on, beside coordinates and box.

    model: name in the catalogue, weights_sha256: 64 hexadecimal digits of the weights file
    precision, device: as in ModelSettings; "auto" follows OpenMM's GPU, else takes any GPU, else the CPU
    atomic_numbers: of the atoms that the network sees, in its order
    atoms: their indices in the System, None for all atoms
    periodic: whether the box counts
    charge, multiplicity: of the atoms that the network sees; None where the model takes none
    compile: whether the network is translated to machine code, which changes the rounding
    memory, edges_per_block, kernels, cuda_graphs, search: as in ModelSettings
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
    compile: bool = False
    memory: str = "auto"
    edges_per_block: int | None = None
    kernels: str = "auto"
    cuda_graphs: bool = False
    search: str = "auto"

    def __post_init__(self) -> None:
        for name, fits in _check_values(self).items():
            if not fits:
                raise ForceError(f"the description of a force has {name} = {_shorten(getattr(self, name))}: not valid")

    def to_json(self) -> str:
        """The text that from_json reads back to an equal description."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ForceDescription:
        """The description that a text of to_json holds.

        Raises ForceError for a text of another format, with an unknown or missing key, or an impossible value.
        """
        entries = _read_entries(text)
        _check_keys(entries, {field.name for field in dataclasses.fields(cls)})
        for name in ("atomic_numbers", "atoms"):
            if isinstance(entries[name], list):
                entries[name] = tuple(entries[name])
        return cls(**entries)


def _read_entries(text: str) -> dict[str, Any]:
    """The entries of the JSON text, without its format number."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ForceError(f"the description of a force is no JSON text ({error}): {_shorten(text)}") from error
    if not isinstance(entries, dict):
        raise ForceError(f"the description of a force must be a JSON object, got {_shorten(text)}")
    stored = entries.pop("format", None)
    if stored != FORMAT:
        raise ForceError(
            f"the description of a force has format {stored!r}, and this orbmm reads format {FORMAT}: "
            "create the System again, or use the version of orbmm that wrote it"
        )
    return entries


def _check_keys(entries: dict[str, Any], known: set[str]) -> None:
    for key in entries:
        if key not in known:
            raise ForceError(f"the description of a force has the unknown key '{key}': {name_nearest(key, known)}")
    missing = sorted(known - entries.keys())
    if missing:
        raise ForceError(f"the description of a force lacks {', '.join(missing)}: create the System again")


def _check_values(description: ForceDescription) -> dict[str, bool]:
    """For each field, whether its value is possible."""
    atoms, numbers, multiplicity = description.atoms, description.atomic_numbers, description.multiplicity
    edges = description.edges_per_block
    return {
        "model": isinstance(description.model, str),
        "weights_sha256": isinstance(description.weights_sha256, str)
        and re.fullmatch("[0-9a-f]{64}", description.weights_sha256) is not None,
        "precision": description.precision in PRECISIONS,
        "device": isinstance(description.device, str),
        "atomic_numbers": _are_counts(numbers) and len(numbers) > 0 and min(numbers) >= 1,
        "atoms": atoms is None or (_are_counts(atoms) and len(atoms) == len(set(atoms)) == len(numbers)),
        "periodic": isinstance(description.periodic, bool),
        "compile": isinstance(description.compile, bool),
        "memory": description.memory in MEMORY_MODES,
        "kernels": description.kernels in KERNELS,
        "search": description.search in SEARCHES,
        "cuda_graphs": isinstance(description.cuda_graphs, bool),
        "edges_per_block": edges is None or (type(edges) is int and edges >= 1),
        "charge": description.charge is None or type(description.charge) is int,
        "multiplicity": multiplicity is None or (type(multiplicity) is int and multiplicity >= 1),
    }


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and value >= 0 for value in values)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
