"""Update the weights: Muon for the matrices and AdamW for all others, or AdamW alone, with one schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from orbmm.settings.training import OptimizerSettings


class MixedOptimizer:
    """Two optimizers that step together: Muon for weight matrices inside the network, if it is chosen, AdamW else.

    Source: K. Jordan et al., Muon (2024), as in torch.optim.Muon; the published Orb models were trained with AdamW.
    """

    def __init__(self, network: nn.Module, settings: OptimizerSettings) -> None:
        learning_rate, steps = settings.learning_rate, settings.steps
        trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        matrices = [
            weight for name, weight in trained if weight.ndim == 2 and min(weight.shape) > 1 and "emb" not in name
        ]
        matrices = matrices if settings.optimizer == "muon" else []
        chosen = set(map(id, matrices))
        others = [weight for _, weight in trained if id(weight) not in chosen]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0)]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            self.parts.insert(0, muon)
        self.schedules = [torch.optim.lr_scheduler.LambdaLR(part, Schedule(steps)) for part in self.parts]

    def step(self) -> None:
        """Update the weights, advance the schedule, reset the gradients."""
        for part, schedule in zip(self.parts, self.schedules, strict=True):
            part.step()
            schedule.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict:
        """Return the state that a resumed training needs."""
        return {
            "parts": [part.state_dict() for part in self.parts],
            "schedules": [s.state_dict() for s in self.schedules],
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore a state of state_dict; the shape of the schedule is not part of it."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict({**saved, "lr_lambdas": [None] * len(saved["lr_lambdas"])})


class Schedule:
    """A linear warm-up over 2% of the steps, then a cosine down to 1% of the learning rate."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.warm_up = max(1, steps // 50)

    def __call__(self, step: int) -> float:
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        progress = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress))
