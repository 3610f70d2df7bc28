"""Dispersion as a force of OpenMM beside the network: its description, and its evaluation in OpenMM's units."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from orbmm.dispersion.d3 import FUNCTIONALS, Dispersion
from orbmm.errors import ForceError, StructureError
from orbmm.forces.description import ForceDescription, are_counts, check_keys, read_entries, shorten
from orbmm.forces.evaluator import AtomForces

FORMAT = 1
"""The version of the format; raise it whenever a reader of the old text would misunderstand the new one."""


@dataclass(frozen=True)
class DispersionDescription:
    """The description of D3(BJ) in a force. The fields are those of ForceDescription.

    dispersion: the functional, one of orbmm.dispersion.d3.FUNCTIONALS
    """

    dispersion: str
    device: str
    atomic_numbers: tuple[int, ...]
    atoms: tuple[int, ...] | None
    periodic: bool
    search: str

    def __post_init__(self) -> None:
        for name, is_valid in self._check_values().items():
            if not is_valid:
                raise ForceError(f"the description of a dispersion has {name} = {shorten(getattr(self, name))}")

    @classmethod
    def beside(cls, network: ForceDescription, dispersion: str) -> DispersionDescription:
        """Return the dispersion between the atoms of a network, on its device."""
        return cls(
            dispersion=dispersion,
            device=network.device,
            atomic_numbers=network.atomic_numbers,
            atoms=network.atoms,
            periodic=network.periodic,
            search=network.execution.search,
        )

    def to_json(self) -> str:
        """Return the text that from_json reads."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> DispersionDescription:
        """Return the description in a text of to_json. Raises ForceError for any other text."""
        entries: dict[str, Any] = read_entries(text, FORMAT)
        check_keys(entries, {each.name for each in dataclasses.fields(cls)})
        for name in ("atomic_numbers", "atoms"):
            if isinstance(entries[name], list):
                entries[name] = tuple(entries[name])
        return cls(**entries)

    def _check_values(self) -> dict[str, bool]:
        atoms, numbers = self.atoms, self.atomic_numbers
        return {
            "dispersion": self.dispersion in FUNCTIONALS,
            "device": isinstance(self.device, str),
            "search": isinstance(self.search, str),
            "atomic_numbers": are_counts(numbers) and len(numbers) > 0,
            "atoms": atoms is None or (are_counts(atoms) and len(atoms) == len(set(atoms)) == len(numbers)),
            "periodic": isinstance(self.periodic, bool),
        }


class DispersionEvaluator(AtomForces):
    """D3(BJ) prepared for the atoms of one force; pairs are kept between calls, which changes no result."""

    def __init__(self, description: DispersionDescription, device: torch.device) -> None:
        super().__init__(len(description.atomic_numbers), description.atoms, description.periodic, device)
        # A row of energies asks again at the same coordinates. On a GPU it would cost each step a wait to compare them.
        self.remembers = device.type == "cpu"
        self.dispersion = Dispersion(
            description.dispersion, description.atomic_numbers, device, search=description.search
        )

    def _predict(self, positions: Tensor, cell: Tensor | None, wanted: torch.device) -> tuple[Tensor, Tensor]:
        """See AtomForces._predict."""
        result = self.dispersion.compute(positions, cell)
        if not bool(torch.isfinite(result.energy) & torch.isfinite(result.forces).all()):
            raise StructureError("the dispersion is NaN or infinite for this structure: atoms nearly overlap")
        return result.energy, result.forces
