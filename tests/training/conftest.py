"""Frames of a few waters with invented labels, and settings that train on them for a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orbmm.settings.training import (
    DataSettings,
    LossSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.frames import Frame

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"


@pytest.fixture
def frames() -> list[Frame]:
    """Ten loose clusters of water, half of them periodic, with invented labels."""
    generator = np.random.default_rng(7)
    return [make_frame(generator, waters=2 + index % 3, periodic=bool(index % 2), index=index) for index in range(10)]


def make_frame(generator: np.random.Generator, waters: int, periodic: bool, index: int) -> Frame:
    """Return waters in a row; energies and forces mean nothing."""
    water = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = np.concatenate([water + [0.0, 0.0, 3.0 * place] for place in range(waters)])
    positions += generator.normal(0.0, 0.05, positions.shape)
    return Frame(
        atomic_numbers=np.array([8, 1, 1] * waters),
        positions=positions,
        cell=np.diag([8.0, 8.0, 3.0 * waters]) if periodic else None,
        peptide=np.arange(3 * waters) < 3,
        group=f"{'box' if periodic else 'drop'}-{index}",
        energy=-150.0 * waters + generator.normal(0.0, 0.1),
        forces=generator.normal(0.0, 1.0, positions.shape),
        source=f"water.npz, frame {index}",
    )


def make_settings(folder: Path, start: str = CONSERVATIVE, **changes: object) -> TrainingSettings:
    """Return settings of a short training from random weights; a change is of [loss], [optimizer] or [run] by name."""
    tables = {"loss": LossSettings, "optimizer": OptimizerSettings, "run": TrainingRunSettings}
    values: dict[str, dict[str, object]] = {"loss": {}, "run": {"output": folder, "save_every": 2}}
    values["optimizer"] = {"steps": 4, "edges_per_batch": 300, "learning_rate": 8e-3}
    model = {"name": "mine", "level_of_theory": "invented", "start": start, "from_scratch": True}
    for name, value in changes.items():
        table = next((table for table, kind in tables.items() if name in kind.__dataclass_fields__), None)
        (model if table is None else values[table])[name] = value
    return TrainingSettings(
        model=TrainedModelSettings(**model),
        data=DataSettings(training=(folder / "frames.npz",), energy_unit="eV", force_unit="eV/Å"),
        **{name: kind(**values[name]) for name, kind in tables.items()},
    )
