"""The losses that training minimises: sums over the frames of this process, divided by counts of the whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.model.network.orb import Orb, Prediction
from orbmm.settings.training import LossSettings
from orbmm.training.confidence.head import LEFT_OUT, find_bins
from orbmm.training.data.batches import Batch
from orbmm.training.parallel import sum_over_processes

ENERGY_SCALE = 0.010  # [eV/atom]: an energy error of this size counts like a force error of one standard deviation
STRESS_SCALE = 0.002  # [eV/Å^3]: the same for a component of the stress; 0.3 GPa
LARGE_FORCES = ((2.0, 1.0), (4.0, 0.7), (6.0, 0.4))
"""Up to so many times the force scale, the factor of huber_delta of a conditional loss; beyond them a tenth. The steps
are those of MACE-MP (arXiv 2401.00096), whose limits are 100, 200 and 300 eV/Å."""


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each with its weight in it; their sum is minimised.

    forces, energy, stress: Huber losses; rotation: of the rotational gradient; confidence: cross-entropy
    """

    forces: Tensor
    energy: Tensor
    stress: Tensor
    rotation: Tensor
    confidence: Tensor

    @property
    def total(self) -> Tensor:
        """Return the sum."""
        return self.forces + self.energy + self.stress + self.rotation + self.confidence


def compute_losses(
    network: Orb, prediction: Prediction, batch: Batch, settings: LossSettings, force_scale: float, progress: float
) -> Losses:
    """Return the parts of the loss of a batch.

    force_scale: root mean square of the label forces [eV/Å]; progress: 0 to 1, the share of the training that is done
    """
    forces = compute_force_loss(prediction, batch, settings, force_scale)
    share = settings.rotation_share * _ramp(progress, settings.rotation_ramp)
    return Losses(
        forces=forces,
        energy=settings.energy_weight * _ramp(progress, settings.energy_ramp) * compute_energy_loss(prediction, batch),
        stress=settings.stress_weight * compute_stress_loss(prediction, batch),
        rotation=compute_rotation_loss(prediction, forces, share),
        confidence=compute_confidence_loss(network, prediction, batch, settings.errors_beyond),
    )


def _ramp(progress: float, end: float) -> float:
    """Return 0 to 1, growing evenly until the progress `end`."""
    return min(1.0, progress / end) if end else 1.0


def compute_force_loss(prediction: Prediction, batch: Batch, settings: LossSettings, force_scale: float) -> Tensor:
    """Return the Huber loss of the force components; atoms of the solute count more."""
    labels = batch.forces / force_scale
    errors = (_require(prediction.forces, "forces") / force_scale - labels).abs()  # (N, 3)
    delta = torch.full_like(errors[:, :1], settings.huber_delta)  # (N, 1)
    if settings.conditional:
        delta = delta * _lower_for_large_forces(torch.linalg.vector_norm(labels, dim=1, keepdim=True))
    huber = torch.where(errors < delta, 0.5 * errors**2, delta * (errors - 0.5 * delta))
    share = torch.where(batch.peptide, settings.solute_weight, 1.0)[:, None]
    return (huber * share).sum() / (3 * sum_over_processes(share.sum()))


def _lower_for_large_forces(sizes: Tensor) -> Tensor:
    factors = torch.full_like(sizes, 0.1)
    for limit, factor in reversed(LARGE_FORCES):
        factors = torch.where(sizes < limit, factor, factors)
    return factors


def compute_energy_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return the Huber loss of the energy per atom."""
    per_atom = (_require(prediction.energy, "energy") - batch.energies) / batch.graph.counts / ENERGY_SCALE
    total = F.huber_loss(per_atom, torch.zeros_like(per_atom), delta=1.0, reduction="sum").float()
    return total / sum_over_processes(torch.tensor(float(len(per_atom)), device=total.device))


def compute_stress_loss(prediction: Prediction, batch: Batch) -> Tensor:
    """Return the Huber loss of the stress of the frames that have one; 0 for a batch without."""
    known = torch.isfinite(batch.stress).all(dim=1)
    count = sum_over_processes(6.0 * known.sum())
    if prediction.stress is None or not known.any():
        return batch.forces.new_zeros(())
    errors = (prediction.stress - batch.stress)[known] / STRESS_SCALE
    return F.huber_loss(errors, torch.zeros_like(errors), delta=1.0, reduction="sum") / count


def compute_rotation_loss(prediction: Prediction, force_loss: Tensor, share: float) -> Tensor:
    """Return the penalty on a rotational gradient: its mean norm, scaled to a share of the loss of the forces.

    From scratch the share must grow from 0: a network without forces is invariant, and a large penalty keeps it so.
    """
    if prediction.rotational_gradient is None or share == 0.0:
        return force_loss.new_zeros(())
    norms = torch.linalg.matrix_norm(prediction.rotational_gradient)  # (B,)
    count = sum_over_processes(torch.tensor(float(len(norms)), device=norms.device))
    norm = norms.sum() / count
    return share * sum_over_processes(force_loss) * norm / sum_over_processes(norm).clamp_min(1e-6)


def compute_confidence_loss(network: Orb, prediction: Prediction, batch: Batch, errors_beyond: str) -> Tensor:
    """Return the cross-entropy between the predicted bins and the bin of each atom's force error.

    errors_beyond: the last edge, see find_bins. 0 for a network without a confidence head.
    Source: Algorithm 1 of arXiv 2504.06231; the head learns from detached features and errors.
    """
    if prediction.confidence_logits is None:
        return batch.forces.new_zeros(())
    edges = network.get_buffer("heads.confidence.bin_edges")
    errors = (_require(prediction.forces, "forces").detach() - batch.forces).abs().mean(dim=-1)  # (N,)
    bins = find_bins(errors, edges, errors_beyond)
    count = sum_over_processes((bins != LEFT_OUT).sum())
    if not (bins != LEFT_OUT).any():
        return errors.sum() * 0.0
    total = F.cross_entropy(prediction.confidence_logits, bins, ignore_index=LEFT_OUT, reduction="sum")
    return total.float() / count


def _require(output: Tensor | None, name: str) -> Tensor:
    if output is None:
        raise ValueError(f"the network gave no {name}: ask for it among the outputs")
    return output
