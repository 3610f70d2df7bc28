"""The difference of two networks, which multiple time steps apply in every outer step, and the force groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.forces.evaluator import Evaluator

FAST_GROUP = 0
"""Force group of what acts in every step: the direct network, and all forces that nobody puts into another group."""

SLOW_GROUP = 1
"""Force group of what acts in every outer step: the conservative network less the direct one."""


@dataclass(frozen=True)
class DifferenceEvaluator:
    """A slow network less a fast one, on the same atoms.

    Both keep their last answer. So the fast forces that a step needs anyway are not computed again here, nor are the
    slow ones when the energy is read.
    """

    slow: Evaluator
    fast: Evaluator

    def __post_init__(self) -> None:
        self.slow.remembers = self.fast.remembers = True

    @property
    def periodic(self) -> bool:
        """Return whether the networks need a box."""
        return self.slow.periodic

    @property
    def device(self) -> torch.device:
        """Return the device on which the networks run."""
        return self.slow.device

    def evaluate(self, positions_nm: Tensor, box_nm: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the difference of energies () [kJ/mol] and forces (N, 3) [kJ/mol/nm]; see Evaluator.evaluate."""
        slow_energy, slow_forces = self.slow.evaluate(positions_nm, box_nm)
        fast_energy, fast_forces = self.fast.evaluate(positions_nm, box_nm)
        return slow_energy - fast_energy, slow_forces - fast_forces
