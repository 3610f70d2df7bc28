"""The losses that training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.network.orb import Orb, Prediction
from orbmm.training.batches import Batch

ENERGY_SCALE = 0.010  # [eV/atom]: an energy error of this size counts like a force error of one standard deviation


@dataclass(frozen=True)
class LossWeights:
    """The weights of the parts of the loss.

    force_scale: root mean square of the label forces [eV/Å]
    peptide: weight of the force on a solute atom relative to a water atom
    energy: final weight of the energy term
    huber_delta: force errors above this many force scales enter linearly, smaller ones quadratically
    """

    force_scale: float
    peptide: float = 4.0
    energy: float = 0.005
    huber_delta: float = 0.5


def weigh_errors(prediction: Prediction, batch: Batch, weights: LossWeights, energy_ramp: float) -> Tensor:
    """Return the Huber loss of forces and energy per atom; energy_ramp, 0 to 1, scales the energy term."""
    errors = F.huber_loss(
        _require(prediction.forces, "forces") / weights.force_scale,
        batch.forces / weights.force_scale,
        reduction="none",
        delta=weights.huber_delta,
    )
    share = torch.where(batch.peptide, weights.peptide, 1.0)[:, None]
    forces = (errors * share).sum() / (3 * share.sum())
    per_atom = (_require(prediction.energy, "energy") - batch.energies) / batch.graph.counts / ENERGY_SCALE
    energy = F.huber_loss(per_atom, torch.zeros_like(per_atom), delta=1.0).float()
    return forces + weights.energy * energy_ramp * energy


def judge_confidence(network: Orb, nodes_confidence: Tensor, prediction: Prediction, batch: Batch) -> Tensor:
    """Return the cross-entropy between the predicted bins and the bin of each atom's force error.

    nodes_confidence: (N, bins) probabilities. Errors above the last edge are excluded, as in the published models.
    """
    edges = network.get_buffer("heads.confidence.bin_edges")
    error = (_require(prediction.forces, "forces").detach() - batch.forces).abs().mean(dim=-1)  # (N,)
    counted = error < edges[-1]
    bins = torch.bucketize(error[counted], edges[1:-1])
    return F.nll_loss(torch.log(nodes_confidence[counted] + 1e-9), bins) if counted.any() else error.sum() * 0.0


def _require(output: Tensor | None, name: str) -> Tensor:
    if output is None:
        raise ValueError(f"the network gave no {name}: ask for it among the outputs")
    return output
