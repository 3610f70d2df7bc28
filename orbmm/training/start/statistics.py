"""Reference energies of the elements and the scales of a network, from labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from orbmm.checkpoints.catalog import describe_elements
from orbmm.model.network.heads import REFERENCE_ELEMENTS
from orbmm.model.network.orb import DirectOrb, Orb
from orbmm.training.data.batches import LabelledGraph, join_graphs
from orbmm.training.data.frames import Frame

MAX_CONFIDENCE_ERROR = 0.3  # [eV/Å], upper edge of the last bin, as in the published models
LARGE_SHIFT = 0.5  # [eV/atom]
_LOG = logging.getLogger(__name__)


def refit_references(network: Orb, graphs: Sequence[LabelledGraph]) -> None:
    """Shift the reference energies of the elements so that the network fits the labels best; its scales are kept.

    Labels of another level of theory differ by an energy for each element, which no other weight should have to learn.
    """
    counts = np.stack([_count_elements(graph) for graph in graphs])
    missing = np.array([graph.energy - _predict_energy(network, graph) for graph in graphs])
    shift = solve_composition(counts, missing)
    weight = network.get_buffer("heads.energy.reference.linear.weight")
    weight += torch.from_numpy(shift).to(weight.dtype)
    largest = int(np.abs(shift).argmax())
    if abs(shift[largest]) > LARGE_SHIFT:
        _LOG.info(
            "the labels lie %+.2f eV for each %s from those of the start: its reference energies were shifted",
            shift[largest],
            describe_elements([largest]),
        )


def _count_elements(graph: LabelledGraph) -> np.ndarray:
    return np.bincount(graph.atomic_numbers.numpy(), minlength=REFERENCE_ELEMENTS)


def _predict_energy(network: Orb, graph: LabelledGraph) -> float:
    energy = network(join_graphs([graph]).graph, frozenset({"energy"})).energy
    return float(energy.detach()) if energy is not None else 0.0


def solve_composition(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Return the energy of each element (118,) [eV] that explains the energies (F,) of frames (F, 118) best.

    Few compositions leave the elements nearly dependent: a light ridge keeps the fit from splitting hairs.
    """
    sizes = counts.sum(axis=1)
    present = counts.any(axis=0)
    solved = np.zeros(REFERENCE_ELEMENTS)
    scaled = counts[:, present] / sizes[:, None]
    gram = scaled.T @ scaled + 1e-6 * np.eye(present.sum())
    solved[present] = np.linalg.solve(gram, scaled.T @ (energies / sizes))
    return solved


def fit_reference_energies(frames: Sequence[Frame]) -> tuple[np.ndarray, float]:
    """Return least-squares energies per element (118,) [eV], and the mean of the residual per atom [eV]."""
    counts = np.stack([np.bincount(frame.atomic_numbers, minlength=REFERENCE_ELEMENTS) for frame in frames])
    energies = np.array([frame.labels.energy for frame in frames])
    reference = solve_composition(counts, energies)
    return reference, float(((energies - counts @ reference) / counts.sum(axis=1)).mean())


def compute_force_scale(frames: Sequence[Frame]) -> float:
    """Return the root mean square force component [eV/Å]."""
    return float(np.sqrt(np.concatenate([frame.labels.forces.ravel() ** 2 for frame in frames]).mean()))


def set_statistics(network: Orb, frames: Sequence[Frame], energy_deviation: float = 0.1) -> None:
    """Write reference energies, normalisers and confidence bins into the network.

    energy_deviation: [eV/atom], scale of the pooled energy head; the deviation of the residual is far too small for
        forces, which are gradients of the energy
    """
    reference, mean = fit_reference_energies(frames)
    network.get_buffer("heads.energy.reference.linear.weight").copy_(torch.from_numpy(reference))
    network.get_buffer("heads.energy.normalizer.bn.running_mean").fill_(mean)
    network.get_buffer("heads.energy.normalizer.bn.running_var").fill_(energy_deviation**2)
    if isinstance(network, DirectOrb):
        network.get_buffer("heads.forces.normalizer.bn.running_var").fill_(compute_force_scale(frames) ** 2)
    if "confidence" in network.heads:
        bins = network.get_buffer("heads.confidence.bin_edges")
        bins.copy_(torch.linspace(0.0, MAX_CONFIDENCE_ERROR, len(bins)))
