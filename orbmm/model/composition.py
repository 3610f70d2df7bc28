"""Which atoms a system has, checked once against what the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.errors import ModelError, StructureError

LARGEST_ATOMIC_NUMBER = 118
_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo "
    "Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl "
    "Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()


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
        raise StructureError(f"atomic_numbers must be a non-empty list of integers, got shape {numbers.shape} of {numbers.dtype}")
    _check_elements(record, numbers)
    _check_charge(record, charge, multiplicity)
    return Composition(torch.as_tensor(numbers.astype(np.int64), device=device), charge, multiplicity)


def _check_elements(record: CheckpointRecord, numbers: np.ndarray) -> None:
    impossible = numbers[(numbers < 1) | (numbers > LARGEST_ATOMIC_NUMBER)]
    if len(impossible):
        raise StructureError(f"atomic number {impossible[0]} is not an element: expected 1 to {LARGEST_ATOMIC_NUMBER}")
    unknown = sorted(set(numbers.tolist()) - set(record.elements))
    if unknown:
        names = ", ".join(_SYMBOLS[number - 1] for number in unknown)
        known = ", ".join(_SYMBOLS[number - 1] for number in record.elements[:12])
        more = ", ..." if len(record.elements) > 12 else ""
        raise StructureError(f"{record.name} was not trained on {names}: it knows {known}{more}; choose another model")


def _check_charge(record: CheckpointRecord, charge: float | None, multiplicity: int | None) -> None:
    given = {"charge": charge, "multiplicity": multiplicity}
    if record.takes_charge:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise ModelError(f"{record.name} needs {' and '.join(missing)}: give the total charge and the spin multiplicity")
        if int(multiplicity) != multiplicity or multiplicity < 1:
            raise ModelError(f"multiplicity must be a whole number from 1 on, got {multiplicity}")
        return
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ModelError(f"{record.name} takes no {' and no '.join(extra)}: leave it out, or choose an omol model")
