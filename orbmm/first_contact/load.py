"""Load a model for use without OpenMM; on a GPU it is compared with the CPU before its first prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orbmm.errors import ModelError, name_nearest
from orbmm.first_contact.compare import LoadOnCpu
from orbmm.first_contact.meet import Atoms, meet
from orbmm.model import load
from orbmm.model.batch import MOST_EDGES, Structure, number_errors, read_structures
from orbmm.model.inference.execution import Execution
from orbmm.model.potential import NumpyPrediction, Potential
from orbmm.settings.model import FIRST_CONTACTS


def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32-high",
    execution: Execution | None = None,
    first_contact: str = "check",
) -> Potential:
    """Load a model of the catalogue, or the network of a weights file that holds its own record.

    name: see orbmm.list_models(); or the path of a .safetensors file with its own record
    weights: a local weights file instead of the published one; with the name "orbmm", whatever network the file holds
    device: None or "auto", "cpu", "cuda", "cuda:N"; precision: as in the table [model] of the settings
    execution: memory, kernels, compilation, CUDA graphs and search; None for the defaults
    first_contact: check: a GPU is compared with the CPU before its first prediction; skip: wrong numbers of a GPU are
    not noticed
    Raises ModelError, CheckpointError or DeviceError.
    """
    if first_contact not in FIRST_CONTACTS:
        raise ModelError(f"unknown first_contact '{first_contact}': {name_nearest(first_contact, FIRST_CONTACTS)}")
    potential = load.load_model(name, weights, device, precision, execution)
    if potential.device.type != "cuda" or first_contact == "skip":
        return potential
    loaded = {each.name: getattr(potential, each.name) for each in fields(potential)}
    return CheckedPotential(
        **loaded,
        execution=execution or Execution(),
        load_on_cpu=lambda kind: load.load_model(name, weights, "cpu", kind),
    )


@dataclass(frozen=True)
class CheckedPotential(Potential):
    """A network on a GPU that is compared with the CPU before it predicts for other elements than before.

    execution: with which it was loaded; load_on_cpu: loads the same weights for the comparison
    """

    execution: Execution = field(kw_only=True)
    load_on_cpu: LoadOnCpu = field(kw_only=True)
    _met: set[tuple[frozenset[int], bool]] = field(default_factory=set, init=False, compare=False, repr=False)

    @torch.inference_mode(False)
    def predict(
        self,
        atomic_numbers: Sequence[int] | np.ndarray | Tensor,
        positions: Any,
        cell: Any = None,
        charge: float | None = None,
        multiplicity: int | None = None,
    ) -> NumpyPrediction:
        """Predict all outputs of the model for one structure; see Potential.predict.

        Raises DeviceError too, if the GPU does not compute what the CPU does.
        """
        self._meet(Structure(atomic_numbers, positions, cell, charge, multiplicity))
        return super().predict(atomic_numbers, positions, cell, charge, multiplicity)

    @torch.inference_mode(False)
    def predict_many(
        self, structures: Iterable[Structure | Sequence[Any]], most_edges: int = MOST_EDGES
    ) -> list[NumpyPrediction]:
        """Predict all outputs of the model for several structures; see Potential.predict_many.

        Raises DeviceError too, if the GPU does not compute what the CPU does.
        """
        given = read_structures(structures)
        for index, structure in enumerate(given):
            number_errors(self._meet, index, structure)
        return super().predict_many(given, most_edges)

    def _meet(self, structure: Structure) -> None:
        """Compare the GPU with the CPU, once for the elements of a structure and whether it has a cell."""
        composition = self.compose(structure.atomic_numbers, structure.charge, structure.multiplicity)
        numbers, periodic = composition.atomic_numbers.tolist(), structure.cell is not None
        key = frozenset(numbers), periodic
        if key not in self._met:
            whole = None if structure.charge is None else int(structure.charge)
            atoms = Atoms(numbers, periodic, whole, structure.multiplicity)
            meet(self, self.execution, atoms, self.load_on_cpu)
            self._met.add(key)
