"""Read the reference table of D3: C6 coefficients of small reference systems, by element and coordination number.

reference.npz is made by scripts/study/make_dispersion_table.py from the package tad-dftd3 (Copyright Grimme Group,
Apache License 2.0). It holds H to Rn. Source: S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 132, 154104.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from torch import Tensor

SYSTEMS_PER_ELEMENT = 5
_ABSENT = -1.0  # coordination number of a reference system that does not exist


@dataclass(frozen=True)
class ReferenceTable:
    """The table of the elements of one system, in atomic units.

    types: (N,) int32, for each atom the row of its element, counted from 1
    radii, roots: (K + 1,), scaled covalent radii [bohr] and roots of <r^4>/<r^2>; row 0 is empty in every array
    c6, coordination: (K + 1, K + 1, 5, 5), C6 [hartree bohr^6], and the coordination numbers of the first element
    """

    types: Tensor
    radii: Tensor
    roots: Tensor
    c6: Tensor
    coordination: Tensor


def list_elements() -> range:
    """Return the atomic numbers that the table holds."""
    return range(1, len(_read_arrays()["root_r4_over_r2"]) + 1)


def read_reference(atomic_numbers: tuple[int, ...], device: torch.device) -> ReferenceTable:
    """Return the table for these atoms, which must be among list_elements()."""
    arrays = _read_arrays()
    present = np.unique(atomic_numbers)  # (K,)
    rows, slots = _find_systems(arrays["element"], present)  # (R',) indices in the table, and (R', 2)
    count, size = len(arrays["element"]), len(present) + 1
    whole = np.zeros((count, count), dtype=np.float32)
    whole[np.triu_indices(count)] = arrays["c6_upper"]
    whole = np.maximum(whole, whole.T)
    c6 = np.zeros((size, size, SYSTEMS_PER_ELEMENT, SYSTEMS_PER_ELEMENT), dtype=np.float32)
    types, systems = slots.T
    c6[types[:, None], types[None, :], systems[:, None], systems[None, :]] = whole[np.ix_(rows, rows)]
    numbers = np.full((size, SYSTEMS_PER_ELEMENT), _ABSENT, dtype=np.float32)
    numbers[types, systems] = arrays["coordination"][rows]
    coordination = np.broadcast_to(numbers[:, None, :, None], c6.shape)
    padded = {name: np.append(np.float32(0.0), arrays[name][present - 1]) for name in _BY_ELEMENT}
    return ReferenceTable(
        types=torch.as_tensor(np.searchsorted(present, atomic_numbers) + 1, dtype=torch.int32).to(device),
        radii=torch.as_tensor(padded["covalent_radius_bohr"]).to(device),
        roots=torch.as_tensor(padded["root_r4_over_r2"]).to(device),
        c6=torch.as_tensor(c6).to(device),
        coordination=torch.as_tensor(coordination.copy()).to(device),
    )


_BY_ELEMENT = ("covalent_radius_bohr", "root_r4_over_r2")


def _find_systems(element: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the reference systems of these elements, and for each its type and its number."""
    rows = np.flatnonzero(np.isin(element, present))
    types = np.searchsorted(present, element[rows]) + 1
    first = np.searchsorted(element, element[rows])  # the table is sorted by element
    return rows, np.stack([types, rows - first], axis=1)


def _read_arrays() -> dict[str, np.ndarray]:
    with (
        resources.files("orbmm.dispersion").joinpath("reference.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as table,
    ):
        return dict(table)
