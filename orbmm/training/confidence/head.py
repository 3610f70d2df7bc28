"""Confidence: the bins that its head learns, and a new fit of the head on frames that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from orbmm.errors import TrainingError
from orbmm.model.network.heads import ConfidenceHead
from orbmm.model.network.orb import Orb
from orbmm.training.data.batches import LabelledGraph, join_graphs
from orbmm.training.device import locate

LEFT_OUT = -100
"""The bin of an atom that no head learns from; the one that cross_entropy ignores."""
REFIT_STEPS = 300
REFIT_LEARNING_RATE = 3e-3
_ATOMS_PER_STEP = 8192


@dataclass(frozen=True)
class AtomErrors:
    """The atoms of some frames. features: (N, D), what the head sees; errors: (N,), mean of the components [eV/Å]."""

    features: Tensor
    errors: Tensor


@dataclass(frozen=True)
class RefitPlan:
    """The frames of a refit. fitted: the head learns from them; measured: others, by what they are."""

    fitted: Sequence[LabelledGraph]
    measured: dict[str, Sequence[LabelledGraph]]


def find_bins(errors: Tensor, edges: Tensor, errors_beyond: str) -> Tensor:
    """Return the bin of each error (N,) [eV/Å].

    edges: (bins + 1,) [eV/Å]
    errors_beyond: the bin of an error beyond the last edge: "last bin", or "left out" as in the published models
    """
    bins = torch.bucketize(errors, edges[1:-1], right=True)
    return bins if errors_beyond == "last bin" else torch.where(errors < edges[-1], bins, LEFT_OUT)


def refit_confidence(
    network: Orb, held_out: Sequence[LabelledGraph], errors_beyond: str = "last bin", seed: int = 1
) -> None:
    """Refit the confidence head of a network on frames that it was not trained on; all other weights stay.

    During a training the head sees the errors of frames that the network learns from, which are too small, and those
    of weights that are not averaged.
    errors_beyond: see find_bins. Raises TrainingError for a network without such a head, or no frame it can learn from.
    """
    head = require_head(network)
    atoms = compute_atom_errors(network, held_out)
    bins = find_bins(atoms.errors, head.bin_edges, errors_beyond)
    counted = bins != LEFT_OUT
    if not counted.any():
        raise TrainingError(
            f"the confidence has no atom to learn from: {len(held_out)} held-out frames, all errors beyond "
            f"{float(head.bin_edges[-1]):g} eV/Å"
        )
    _fit(head, atoms.features[counted], bins[counted], seed)


def require_head(network: Orb) -> ConfidenceHead:
    """Return the confidence head. Raises TrainingError for a network without one."""
    if "confidence" not in network.heads:
        raise TrainingError("the network has no confidence head, so there is none to refit: set refit = false")
    return cast(ConfidenceHead, network.heads["confidence"])


def compute_atom_errors(network: Orb, graphs: Sequence[LabelledGraph]) -> AtomErrors:
    """Return features and errors of all atoms of some frames."""
    head = require_head(network)
    features: list[Tensor] = []
    errors: list[Tensor] = []
    was_training = network.training
    network.eval()
    seen = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach()))
    for graph in graphs:
        batch = join_graphs([graph]).to(locate(network))
        found = network(batch.graph, frozenset({"forces", "confidence"})).forces
        errors.append((found.detach() - batch.forces).abs().mean(dim=-1))
    seen.remove()
    network.train(was_training)
    return AtomErrors(torch.cat(features), torch.cat(errors))


def expect_errors(head: ConfidenceHead, features: Tensor) -> Tensor:
    """Return the force error that the head expects of each atom (N,) [eV/Å], the mean over the centres of its bins."""
    with torch.no_grad():
        return head(features) @ (0.5 * (head.bin_edges[1:] + head.bin_edges[:-1]))


def _fit(head: ConfidenceHead, features: Tensor, bins: Tensor, seed: int) -> None:
    """Minimise the cross-entropy of the bins, from the weights that the head has."""
    weights = list(head.mlp.parameters())
    trainable = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=REFIT_LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, REFIT_STEPS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(REFIT_STEPS):
        drawn = torch.randperm(len(bins), generator=generator)[:_ATOMS_PER_STEP].to(bins.device)
        loss = F.cross_entropy(head.logits(features[drawn]), bins[drawn])
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    for weight, was in zip(weights, trainable, strict=True):
        weight.requires_grad_(was)
