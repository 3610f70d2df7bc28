"""The losses: nothing for the truth, and for an error what torch says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from training.conftest import CONSERVATIVE

from orbmm.checkpoints.catalog import find_record
from orbmm.model.network.orb import Prediction
from orbmm.settings.training import LossSettings
from orbmm.training.data.batches import join_graphs, prepare_frame
from orbmm.training.data.frames import Frame
from orbmm.training.steps.losses import compute_energy_loss, compute_force_loss, compute_stress_loss


def test_a_perfect_prediction_costs_nothing_and_an_imperfect_one_does(frames: list[Frame]) -> None:
    chosen = [replace(frame, stress=np.full(6, 0.01)) for frame in frames if frame.cell is not None]
    batch = join_graphs([prepare_frame(frame, find_record(CONSERVATIVE)) for frame in chosen])
    right = Prediction(batch.energies, batch.forces, batch.stress)
    for prediction, is_right in (
        (right, True),
        (Prediction(batch.energies + 1.0, 1.1 * batch.forces, 1.1 * batch.stress), False),
    ):
        losses = [
            compute_force_loss(prediction, batch, LossSettings(), force_scale=1.0),
            compute_energy_loss(prediction, batch),
            compute_stress_loss(prediction, batch),
        ]
        assert all((loss.item() == 0.0) == is_right for loss in losses)


def test_the_force_loss_is_that_of_torch(frames: list[Frame]) -> None:
    batch = join_graphs([prepare_frame(frames[1], find_record(CONSERVATIVE))])
    errors = torch.linspace(-2.0, 2.0, batch.forces.numel()).reshape(batch.forces.shape)
    prediction = Prediction(forces=batch.forces + errors)
    loss = compute_force_loss(prediction, batch, LossSettings(solute_weight=1.0, huber_delta=0.3), force_scale=1.0)
    expected = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=0.3)
    torch.testing.assert_close(loss, expected)
    bent = LossSettings(solute_weight=1.0, huber_delta=0.3, conditional=True)
    large = replace(batch, forces=batch.forces * 100.0)
    conditional = compute_force_loss(Prediction(forces=large.forces + errors), large, bent, force_scale=1.0)
    expected = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=0.03)
    torch.testing.assert_close(conditional, expected, atol=2e-4, rtol=1e-3)  # a force near zero may be among them
