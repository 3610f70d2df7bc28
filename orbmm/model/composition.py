"""The atoms of a system, checked once against the elements that the model was trained on."""

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

    All tensors are on the device of the model, so that a step transfers only coordinates.

    atomic_numbers: (N,) int64; system: (N,) int64, zeros; counts: (1,) int64, N
    charges [e], multiplicities: (1,), None for models that do not take them
    """

    atomic_numbers: Tensor
    system: Tensor
    counts: Tensor
    charges: Tensor | None = None
    multiplicities: Tensor | None = None


def compose(
    record: CheckpointRecord,
    atomic_numbers: Sequence[int] | np.ndarray | Tensor,
    device: torch.device,
    charge: float | None = None,
    multiplicity: int | None = None,
) -> Composition:
    """Check the atoms, charge and multiplicity of a system against a model, and return them as tensors.

    Raises StructureError for invalid or unknown elements, ModelError for a charge that is missing or not accepted.
    """
    try:
        numbers = np.asarray(torch.as_tensor(atomic_numbers).cpu())
    except (TypeError, ValueError, RuntimeError) as error:
        raise StructureError("atomic_numbers must be a list of integers such as [8, 1, 1]") from error
    if numbers.ndim != 1 or not len(numbers) or not np.issubdtype(numbers.dtype, np.integer):
        raise StructureError(
            f"atomic_numbers must be a non-empty list of integers, got shape {numbers.shape} of {numbers.dtype}"
        )
    _check_elements(record, numbers)
    _check_charge(record, charge, multiplicity)
    return Composition(
        atomic_numbers=torch.as_tensor(numbers.astype(np.int64), device=device),
        system=torch.zeros(len(numbers), dtype=torch.int64, device=device),
        counts=torch.tensor([len(numbers)], device=device),
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
        if multiplicity is not None and (int(multiplicity) != multiplicity or multiplicity < 1):
            raise ModelError(f"multiplicity must be a whole number, at least 1, got {multiplicity}")
        return
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ModelError(f"{record.name} takes no {' and no '.join(extra)}: remove it, or choose an omol model")
