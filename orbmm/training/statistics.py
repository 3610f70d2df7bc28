"""Reference energies and scales of a data set, set into a network before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from orbmm.model.network.heads import REFERENCE_ELEMENTS
from orbmm.model.network.orb import DirectOrb, Orb
from orbmm.training.dataset import Frame

MAX_CONFIDENCE_ERROR = 0.3  # [eV/Å], upper edge of the last bin, as in the published models


def fit_reference_energies(frames: Sequence[Frame]) -> tuple[np.ndarray, float, float]:
    """Least-squares energy per element (118,) [eV], and mean and deviation of what is left per atom [eV]."""
    counts = np.stack([np.bincount(frame.atomic_numbers, minlength=REFERENCE_ELEMENTS) for frame in frames])
    energies = np.array([frame.energy for frame in frames])
    sizes = counts.sum(axis=1)
    present = counts.any(axis=0)
    reference = np.zeros(REFERENCE_ELEMENTS)
    # Few compositions leave the elements nearly dependent: a light ridge keeps the fit from splitting hairs.
    scaled = counts[:, present] / sizes[:, None]
    gram = scaled.T @ scaled + 1e-6 * np.eye(present.sum())
    reference[present] = np.linalg.solve(gram, scaled.T @ (energies / sizes))
    residual = (energies - counts @ reference) / sizes
    return reference, float(residual.mean()), float(residual.std())


def force_scale(frames: Sequence[Frame]) -> float:
    """Root mean square force component [eV/Å]."""
    return float(np.sqrt(np.concatenate([frame.labels.forces.ravel() ** 2 for frame in frames]).mean()))


def set_statistics(network: Orb, frames: Sequence[Frame], energy_deviation: float = 0.1) -> None:
    """Write references, normalisers and confidence bins into the network.

    energy_deviation: [eV/atom], scale of the pooled energy head; the residual's own deviation is far too small a scale
    for forces, which are gradients through it.
    """
    reference, mean, _ = fit_reference_energies(frames)
    network.get_buffer("heads.energy.reference.linear.weight").copy_(torch.from_numpy(reference))
    network.get_buffer("heads.energy.normalizer.bn.running_mean").fill_(mean)
    network.get_buffer("heads.energy.normalizer.bn.running_var").fill_(energy_deviation**2)
    if isinstance(network, DirectOrb):
        network.get_buffer("heads.forces.normalizer.bn.running_var").fill_(force_scale(frames) ** 2)
    bins = network.get_buffer("heads.confidence.bin_edges")
    bins.copy_(torch.linspace(0.0, MAX_CONFIDENCE_ERROR, len(bins)))
