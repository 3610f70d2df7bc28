"""An ensemble of a few waters: its settings, and folders of replicas as runs leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from openmm import app, unit

from orbmm.ensemble.layout import ReplicaFolder
from orbmm.settings import EnsembleSettings, read_ensemble_settings

STEPS = 90
SYSTEM = f"""[system]
name = "water"
structure = "waters.pdb"
[model]
device = "cpu"
[run]
minimize_iterations = 10
platform = "Reference"
length_ps = {STEPS * 0.0005}
frame_every_fs = 1.0
table_every_fs = 1.0
checkpoint_every_ps = 0.0025
"""


@pytest.fixture(scope="session")
def waters() -> Callable[[Path], None]:
    """Called with a path: write a periodic box of four waters there."""

    def write(path: Path) -> None:
        modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
        modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=4, neutralize=False)
        with path.open("w") as stream:
            app.PDBFile.writeFile(modeller.topology, modeller.positions, stream)

    return write


@pytest.fixture
def write_ensemble(tmp_path: Path) -> Callable[..., Path]:
    """Called with the lines of an ensemble: write them and system.toml to the test's folder; return the path."""

    def write(text: str = "", system: str = SYSTEM) -> Path:
        (tmp_path / "system.toml").write_text(system)
        path = tmp_path / "ensemble.toml"
        path.write_text(f'[ensemble]\nsystem = "system.toml"\noutput = "out"\n{text}')
        return path

    return write


@pytest.fixture
def make_settings(write_ensemble: Callable[..., Path]) -> Callable[..., EnsembleSettings]:
    """As `write_ensemble`, and read the settings."""
    return lambda *texts: read_ensemble_settings(write_ensemble(*texts))


@pytest.fixture
def leave_run() -> Callable[..., None]:
    """Called with the folder of a replica and a step: leave there what a run up to its checkpoint leaves."""

    def leave(folder: ReplicaFolder, step: int, phase: str = "step") -> None:
        checkpoint = folder.run.checkpoints / f"{phase}-{step:012d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "checkpoint.json").write_text("{}")
        folder.run.record.write_text("{}")
        folder.run.settings.write_text(folder.settings.read_text())

    return leave
