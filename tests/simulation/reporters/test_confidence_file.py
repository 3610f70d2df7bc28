"""confidence.dat: records of a fixed format, none lost or doubled, and a guard that watches them."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import app

from orbmm.errors import RunError, UnstableRun
from orbmm.forces.confidence import AtomConfidence
from orbmm.run_files.confidence import read_first_mean
from orbmm.settings import Settings, StageSettings, override_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]
ATOMS = 45
EDGES = np.linspace(0.0, 0.3, 51)


class Meter:
    """Knows its atoms less well the farther they are from a place."""

    bin_edges = EDGES

    def __init__(self, collapse_from: float = np.inf) -> None:
        self.measured = 0
        self._collapse_from = collapse_from

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Errors that differ from atom to atom and from step to step."""
        self.measured += 1
        errors = 0.01 + 0.05 * np.abs(positions[:, 0])
        if self.measured > self._collapse_from:
            errors = 3.0 * errors
        return AtomConfidence(np.digitize(errors, EDGES).astype(np.uint8) - 1, errors)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A record every 8 steps, a checkpoint every 20, 60 steps."""
    return override_settings(settings, {"run": {"confidence_every_fs": 4.0}})


def _read_records(folder: Path) -> np.ndarray:
    kind = [("step", "<i8"), ("time_ps", "<f8"), ("bin", "u1", (ATOMS,)), ("error", "<f2", (ATOMS,))]
    return np.fromfile(folder / "confidence.dat", dtype=kind)


def test_records_and_their_description_have_the_stated_format(settings: Settings, classical_forces: Forces) -> None:
    meter = Meter()
    folder = start_run(settings, forces=classical_forces(confidence=meter)).folder
    records = _read_records(folder)
    assert records["step"].tolist() == list(range(0, 61, 8))
    assert np.allclose(records["time_ps"], 0.0005 * records["step"])
    assert meter.measured == len(records)  # no evaluation is spent beside them
    facts = json.loads((folder / "confidence.json").read_text())
    assert facts == {"atoms": ATOMS, "bin_edges_ev_per_angstrom": EDGES.tolist(), "every_fs": 4.0}
    assert np.array_equal(records["bin"], np.digitize(records["error"].astype(float), EDGES) - 1)
    start = app.PDBFile(str(folder / "topology.pdb")).getPositions(asNumpy=True)._value
    assert np.allclose(records["error"][0], 0.01 + 0.05 * np.abs(start[:, 0]), atol=2e-4)


@pytest.mark.parametrize("step", [0, 24, 44])
def test_a_resumed_run_has_the_records_of_one_in_peace(
    step: int, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, stop, classical_forces(confidence=Meter()))
    assert settings.run.output is not None
    with (settings.run.output / "confidence.dat").open("ab") as stream:
        stream.write(b"torn")
    folder = resume_run(settings.run.output, forces=classical_forces(confidence=Meter())).folder
    elsewhere = override_settings(settings, {"run": {"output": tmp_path / "whole"}})
    whole = start_run(elsewhere, forces=classical_forces(confidence=Meter())).folder
    assert (folder / "confidence.dat").read_bytes() == (whole / "confidence.dat").read_bytes()


def test_left_alone_a_record_comes_with_every_tenth_frame(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    plain = override_settings(settings, {"run": {"frame_every_fs": 1.0, "output": tmp_path / "plain"}})
    run = type(plain.run)(**{**vars(plain.run), "confidence_every_fs": None})
    folder = start_run(Settings(plain.system, run=run), forces=classical_forces(confidence=Meter())).folder
    assert _read_records(folder)["step"].tolist() == [0, 20, 40, 60]
    assert json.loads((folder / "confidence.json").read_text())["every_fs"] == 10.0


def test_it_can_be_switched_off(settings: Settings, classical_forces: Forces) -> None:
    meter = Meter()
    off = override_settings(settings, {"run": {"confidence_every_fs": 0.0}})
    folder = start_run(off, forces=classical_forces(confidence=meter)).folder
    assert not (folder / "confidence.dat").exists() and meter.measured == 0


def test_a_model_without_that_head_says_so(
    settings: Settings, classical_forces: Forces, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunError, match="confidence_every_fs is 4, but .* has no confidence head; remove the setting"):
        start_run(settings, forces=classical_forces(confidence=None))
    run = type(settings.run)(**{**vars(settings.run), "confidence_every_fs": None})
    with caplog.at_level(logging.INFO, logger="orbmm"):
        folder = start_run(Settings(settings.system, run=run), forces=classical_forces(confidence=None)).folder
    assert "has no confidence head: no confidence.dat is written" in caplog.text
    assert not (folder / "confidence.dat").exists()


def test_a_collapse_stops_the_run_before_it_is_written(settings: Settings, classical_forces: Forces) -> None:
    sentence = r"step 24 .*: the model expects force errors of 0\.\d+ eV/Å on average, 3\.\d times those of the start"
    with pytest.raises(UnstableRun, match=sentence):
        start_run(settings, forces=classical_forces(confidence=Meter(collapse_from=3)))
    assert settings.run.output is not None
    assert _read_records(settings.run.output)["step"].tolist() == [0, 8, 16]


def test_a_resumed_run_is_measured_by_the_start(settings: Settings, classical_forces: Forces) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 44:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, stop, classical_forces(confidence=Meter()))
    assert settings.run.output is not None
    assert read_first_mean(settings.run.output / "confidence.dat", ATOMS) == pytest.approx(0.03, abs=0.02)
    with pytest.raises(UnstableRun, match=r"step 48 .*times those of the start"):
        resume_run(settings.run.output, forces=classical_forces(confidence=Meter(collapse_from=0)))


def test_a_second_stage_is_measured_by_the_start_too(settings: Settings, classical_forces: Forces) -> None:
    stages = (StageSettings(kind="produce", length_ps=0.016), StageSettings(kind="produce", length_ps=0.016))
    meter = Meter(collapse_from=5)  # from step 40 on, and the second stage begins with step 32
    with pytest.raises(UnstableRun, match=r"step 40 .*times those of the start"):
        start_run(dataclasses.replace(settings, stage=stages), forces=classical_forces(confidence=meter))


@pytest.mark.filterwarnings("default")
def test_the_embedded_network_writes_its_own(settings: Settings) -> None:
    short = override_settings(settings, {"run": {"length_ps": 0.01}, "model": {"device": "cpu"}})
    folder = start_run(short).folder
    records = _read_records(folder)
    assert records["step"].tolist() == [0, 8, 16]
    assert ((records["error"] > 0.0) & (records["error"] < 0.3)).all()
    assert len(set(records["bin"][0])) > 3
