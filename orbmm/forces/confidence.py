"""Compute the confidence of a network in its forces, at given positions of a simulation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from openmm import app
from torch import Tensor

from orbmm.errors import ForceError, OutOfMemory
from orbmm.forces.attach import describe_force, has_usable_box
from orbmm.forces.description import ForceDescription
from orbmm.forces.difference import DifferenceEvaluator
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.resolve import ResolvedModel
from orbmm.model.potential import Potential
from orbmm.settings.model import ModelSettings
from orbmm.units import ANGSTROM_PER_NM

NO_BIN = 255
"""The bin of an atom that the network does not act on."""


@dataclass(frozen=True)
class AtomConfidence:
    """The confidence of each atom.

    bins: (N,), most probable bin of the force error; errors: (N,), expected force error [eV/Å]
    Atoms that the network does not act on have bin 255 and error NaN.
    """

    bins: np.ndarray
    errors: np.ndarray

    @property
    def mean_error(self) -> float:
        """Return the mean expected error of the atoms that the network acts on [eV/Å]."""
        return float(np.nanmean(self.errors))


def judge_atoms(probabilities: np.ndarray, bin_edges: np.ndarray) -> AtomConfidence:
    """Return the most probable bin, and the expected error as the mean of the bin centres.

    probabilities: (N, B); bin_edges: (B + 1,) [eV/Å]
    Errors beyond the last edge were excluded from training, so the last bin does not mean "or larger".
    """
    centres = 0.5 * (bin_edges[1:] + bin_edges[:-1])
    return AtomConfidence(np.argmax(probabilities, axis=1).astype(np.uint8), probabilities @ centres)


class ConfidenceMeter:
    """A meter of confidence for a network that is already loaded; it costs one evaluation without forces.

    bin_edges: (B + 1,) [eV/Å]
    """

    def __init__(self, description: str) -> None:
        """Find the network of a force by its description (JSON). Raises ForceError if it has no confidence head."""
        described = ForceDescription.from_json(description)
        self._potential = find_potential(description)
        if not has_confidence(self._potential):
            raise ForceError(f"{described.model} has no confidence head; remove the confidence output")
        self._composition = self._potential.compose(described.atomic_numbers, described.charge, described.multiplicity)
        self._periodic = described.periodic
        self._atoms = None if described.atoms is None else list(described.atoms)
        edges = self._potential.network.heads["confidence"].get_buffer("bin_edges")
        self.bin_edges = edges.to("cpu", torch.float64).numpy()

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Return the confidence at positions (N, 3) [nm], wrapped or not, in a box (3, 3) rows [nm] or None."""
        chosen = positions if self._atoms is None else positions[self._atoms]
        coordinates = self._to_angstrom(chosen)
        cell = self._to_angstrom(box) if self._periodic and box is not None else None
        try:
            prediction = self._potential.evaluate(self._composition, coordinates, cell, frozenset({"confidence"}))
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"out of memory for the confidence of {len(positions)} atoms: {error}") from error
        if prediction.confidence is None:
            raise ForceError(f"{self._potential.record.name} gave no confidence")
        judged = judge_atoms(prediction.confidence.to("cpu", torch.float64).numpy(), self.bin_edges)
        return judged if self._atoms is None else _spread(judged, self._atoms, len(positions))

    def _to_angstrom(self, values: np.ndarray) -> Tensor:
        values = np.array(values, dtype=np.float64)  # a copy: torch warns about read-only arrays
        return torch.from_numpy(values).to(self._potential.device) * ANGSTROM_PER_NM


def open_confidence(
    topology: app.Topology, model: ModelSettings | ResolvedModel, atoms: Iterable[int] | None = None
) -> ConfidenceMeter | None:
    """Return the meter of a network on these atoms of a topology (None: all); None for a model without that head."""
    periodic = has_usable_box(topology)
    description = describe_force(topology, model, atoms, periodic).to_json()
    return ConfidenceMeter(description) if has_confidence(find_potential(description)) else None


def has_confidence(potential: Potential) -> bool:
    """Return True if a network has a confidence head."""
    return "confidence" in potential.network.available_outputs


def find_potential(description: str) -> Potential:
    """Return the network of a force by its description; it is shared with the force."""
    evaluator = find_evaluator(description, torch.device("cpu"))
    found = evaluator.slow if isinstance(evaluator, DifferenceEvaluator) else evaluator
    if not isinstance(found, Evaluator):
        raise ForceError("the description is that of a dispersion, which has no network: give that of the network")
    return found.potential


def _spread(judged: AtomConfidence, atoms: list[int], particles: int) -> AtomConfidence:
    """Extend the confidence to all particles of a System, if the network acts only on some atoms."""
    bins, errors = np.full(particles, NO_BIN, dtype=np.uint8), np.full(particles, np.nan)
    bins[atoms], errors[atoms] = judged.bins, judged.errors
    return AtomConfidence(bins, errors)
