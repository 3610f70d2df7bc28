"""Which atoms a system has, checked once against what the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.elements import describe_elements
from orbmm.errors import ModelError, StructureError

LARGEST_ATOMIC_NUMBER = 118


@dataclass(frozen=True)
class Composition:
    """The atoms of one system and, where the model takes them, its total charge and spin multiplicity.

    atomic_numbers: (N,) int64 on the model's device
    charge [e] and multiplicity: None for models that take none
    """

    atomic_numbers: Tensor
    charge: float | None = None
    multiplicity: int | None = None


def compose(
    record: CheckpointRecord,
    atomic_numbers: Sequence[int] | np.ndarray | Tensor,
    device: torch.device,
    charge: float | None = None,
    multiplicity: int | None = None,
) -> Composition:
    """Check the atoms of a system against a model.

    Raises StructureError for impossible or unknown elements, ModelError for a charge that is missing or not taken.
    """
    numbers = np.asarray(torch.as_tensor(atomic_numbers).cpu())
    if numbers.ndim != 1 or not len(numbers) or not np.issubdtype(numbers.dtype, np.integer):
        raise StructureError(
            f"atomic_numbers must be a non-empty list of integers, got shape {numbers.shape} of {numbers.dtype}"
        )
    _check_elements(record, numbers)
    _check_charge(record, charge, multiplicity)
    return Composition(torch.as_tensor(numbers.astype(np.int64), device=device), charge, multiplicity)


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
        if multiplicity is not None and (int(multiplicity) != multiplicity or multiplicity < 1):
            raise ModelError(f"multiplicity must be a whole number from 1 on, got {multiplicity}")
        return
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ModelError(f"{record.name} takes no {' and no '.join(extra)}: leave it out, or choose an omol model")
