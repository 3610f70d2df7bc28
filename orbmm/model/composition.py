"""The atoms of a system, checked once against the elements that the model was trained on."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.errors import ModelError, StructureError

LARGEST_ATOMIC_NUMBER = 118


@dataclass(frozen=True)
class Composition:
    """The atoms of B equal systems, mostly one, and, where the model takes them, total charge and spin multiplicity.

    All tensors are on the device of the model, so that a step transfers only coordinates.

    atomic_numbers: (N,) int64 of all systems; system: (N,) int64, that of each atom; counts: (B,) int64, atoms of each
    charges [e], multiplicities: (B,), None for models that do not take them
    """

    atomic_numbers: Tensor
    system: Tensor
    counts: Tensor
    charges: Tensor | None = None
    multiplicities: Tensor | None = None

    def repeat(self, copies: int) -> Composition:
        """Return the composition of so many copies of one system, one after the other."""
        systems = torch.arange(copies, device=self.system.device)
        return Composition(
            atomic_numbers=self.atomic_numbers.repeat(copies),
            system=systems.repeat_interleave(len(self.system)),
            counts=self.counts.repeat(copies),
            charges=None if self.charges is None else self.charges.repeat(copies),
            multiplicities=None if self.multiplicities is None else self.multiplicities.repeat(copies),
        )


def compose(
    record: CheckpointRecord,
    atomic_numbers: Sequence[int] | np.ndarray | Tensor,
    device: torch.device,
    charge: float | None = None,
    multiplicity: int | None = None,
) -> Composition:
    """Check the atoms, charge and multiplicity of a system against a model, and return them as tensors.

    multiplicity: 2S + 1, or 0 where it is not known
    Raises StructureError for invalid or unknown elements, ModelError for a charge that is missing or not accepted.
    """
    try:
        found = np.asarray(atomic_numbers.cpu() if isinstance(atomic_numbers, Tensor) else atomic_numbers)
    except (TypeError, ValueError, RuntimeError) as error:
        raise StructureError("atomic_numbers must be a list of integers such as [8, 1, 1]") from error
    if found.dtype.kind in "OUS":
        raise StructureError("atomic_numbers must be a list of integers such as [8, 1, 1]")
    if found.ndim == 2:
        raise StructureError("atomic_numbers must be those of one structure, (N,): give several to predict_many")
    if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
        raise StructureError(
            f"atomic_numbers must be a non-empty list of integers, got shape {found.shape} of {found.dtype}"
        )
    _check_elements(record, found)
    charge, multiplicity = _read_scalar(charge), _read_scalar(multiplicity)
    _check_charge(record, charge, multiplicity)
    return Composition(
        atomic_numbers=torch.as_tensor(found.astype(np.int64), device=device),
        system=torch.zeros(len(found), dtype=torch.int64, device=device),
        counts=torch.tensor([len(found)], device=device),
        charges=_make_scalar(charge, device),
        multiplicities=_make_scalar(multiplicity, device),
    )


def _make_scalar(value: float | None, device: torch.device) -> Tensor | None:
    return None if value is None else torch.tensor([value], dtype=torch.float64, device=device)


def _check_elements(record: CheckpointRecord, numbers: np.ndarray) -> None:
    impossible = numbers[(numbers < 1) | (numbers > LARGEST_ATOMIC_NUMBER)]
    if len(impossible):
        raise StructureError(f"atomic number {impossible[0]} is not an element: expected 1 to {LARGEST_ATOMIC_NUMBER}")
    unknown = sorted(set(numbers.tolist()) - set(record.elements))
    if unknown:
        raise StructureError(
            f"{record.name} was not trained on {describe_elements(unknown)}, only on "
            f"{describe_elements(record.elements)}: choose another model (orbmm models)"
        )


def _check_charge(record: CheckpointRecord, charge: float | None, multiplicity: int | None) -> None:
    given = {"charge": charge, "multiplicity": multiplicity}
    if record.takes_charge:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise ModelError(
                f"{record.name} needs {' and '.join(missing)}: give the total charge and the spin multiplicity"
            )
        for name, value in given.items():
            if not _is_whole(value):
                raise ModelError(f"{name} must be a whole number, got {value!r}")
        if multiplicity is not None and multiplicity < 0:
            raise ModelError(f"multiplicity must be at least 1, or 0 where it is not known, got {multiplicity!r}")
        return
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ModelError(f"{record.name} takes no {' and no '.join(extra)}: remove it, or choose an omol model")


def _read_scalar(value: Any) -> Any:
    """Return the number in an array or tensor of one number, and anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _is_whole(value: object) -> bool:
    """Return True for a whole number of any numeric type, False for NaN, text, lists and truth values."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return math.isfinite(value) and float(value).is_integer()
