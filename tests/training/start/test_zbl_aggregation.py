"""The repulsion that a trained model shall have, and charged frames for a network that takes no charge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.conftest import make_settings

from orbmm.errors import TrainingError
from orbmm.model.load import load_model
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData
from orbmm.training.run import prepare_task
from orbmm.training.steps.loop import train

NEAR = np.array([[0.0, 0.0, 0.0], [0.75, 0.0, 0.0]])  # [Å], two oxygens inside each other's repulsion


@pytest.mark.parametrize(("aggregation", "extensive"), [("sum", True), ("mean", False)])
def test_energies_are_extensive_where_the_repulsion_is_summed(
    aggregation: str, extensive: bool, frames: list[Frame], tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, from_scratch=False, zbl_aggregation=aggregation, steps=1)
    trained = train(prepare_task(settings, LabelledData(frames, []), tmp_path))
    model = load_model(str(trained.weights), precision="float64")
    one = model.predict(np.array([8, 8]), NEAR).energy
    two = model.predict(np.array([8, 8, 8, 8]), np.concatenate([NEAR, NEAR + 50.0])).energy
    assert (abs(two - 2 * one) < 1e-6) == extensive


def test_charged_frames_are_learned_only_where_the_settings_say_so(frames: list[Frame], tmp_path: Path) -> None:
    charged = [replace(frames[0], charge=1), *frames[1:]]
    settings = make_settings(tmp_path)
    with pytest.raises(TrainingError, match="charged_frames"):
        prepare_task(settings, LabelledData(charged, []), tmp_path)
    allowed = replace(settings, data=replace(settings.data, charged_frames="train"))
    assert len(prepare_task(allowed, LabelledData(charged, []), tmp_path).training) == len(frames)
