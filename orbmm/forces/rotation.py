"""The rotational gradient of a conservative network during a simulation, from the evaluation that gave the forces."""

from __future__ import annotations

import numpy as np
import torch
from openmm import app

from orbmm.forces.attach import describe_force, has_usable_box
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.resolve import ResolvedModel
from orbmm.settings.model import ModelSettings
from orbmm.units import KJ_PER_MOL_PER_EV


class RotationMeter:
    """A meter of the norm of the rotational gradient; see orbmm.model.network.orb.compute_rotational_gradient.

    From now on the evaluator keeps that of its last evaluation, which costs one product of small matrices.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        evaluator.keeps_rotation = True

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> float:
        """Return the norm [kJ/mol] at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None.

        Other coordinates than those of the last evaluation cost an evaluation of their own.
        """
        place = torch.from_numpy(np.array(positions, dtype=np.float64))
        cell = None if box is None else torch.from_numpy(np.array(box, dtype=np.float64))
        return KJ_PER_MOL_PER_EV * float(
            torch.linalg.matrix_norm(self._evaluator.find_rotational_gradient(place, cell))
        )


def open_rotation(topology: app.Topology, model: ModelSettings | ResolvedModel) -> RotationMeter | None:
    """Return the meter of a network on a topology; None for direct networks and on a GPU.

    With multiple time steps it is that of the conservative network. A direct network would need a backward pass for it,
    and on a GPU a step is launched without it.
    """
    description = describe_force(topology, model, None, has_usable_box(topology)).to_json()
    evaluator = find_evaluator(description, torch.device("cpu"))
    if not isinstance(evaluator, Evaluator) or not evaluator.can_keep_rotation:
        return None
    return RotationMeter(evaluator)
