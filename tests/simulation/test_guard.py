"""Dynamics that go wrong are stopped by one sentence, before anything wrong is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest

from orbmm.errors import ForceError, UnstableRun
from orbmm.settings import Settings, override_settings
from orbmm.simulation.forces import ForceSource
from orbmm.simulation.resume import resume_run
from orbmm.simulation.run import start_run

Forces = Callable[..., ForceSource]
FAULT_FROM_TIME_PS = 0.0124


def _after_a_while(energy: float, forces: Callable[[np.ndarray], np.ndarray]) -> Callable[[], openmm.Force]:
    """A PythonForce that is zero first and then does what is given."""

    def compute(state: openmm.State) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True)._value
        if state.getTime()._value < FAULT_FROM_TIME_PS:
            return 0.0, np.zeros_like(positions)
        return energy, forces(positions)

    return lambda: openmm.PythonForce(compute)


def _nan_on_one_atom(positions: np.ndarray) -> np.ndarray:
    forces = np.zeros_like(positions)
    forces[4, 1] = np.nan
    return forces


def _explosion(positions: np.ndarray) -> np.ndarray:
    return 1e5 * (positions - positions.mean(axis=0))


def _failure(positions: np.ndarray) -> np.ndarray:
    raise MemoryError("out of memory while building the graph")


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_nan_in_a_force_stops_the_run(platform: str, settings: Settings, classical_forces: Forces) -> None:
    settings = override_settings(settings, {"run": {"platform": platform}})
    with pytest.raises(UnstableRun, match=r"unstable at step \d+ .* the last good checkpoint is kept") as caught:
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    folder = settings.run.output
    assert folder is not None
    _assert_only_good_data(folder)


def test_the_atom_is_named(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(0.0, _nan_on_one_atom))
    often = override_settings(settings, {"run": {"frame_every_fs": 0.5}})
    with pytest.raises(UnstableRun, match=r"step 26 .*atom 4 \(H1 of HOH 2\)"):
        start_run(often, forces=forces)


def test_an_infinite_energy_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(float("inf"), np.zeros_like))
    with pytest.raises(UnstableRun, match="the potential energy is inf"):
        start_run(settings, forces=forces)


def test_a_box_that_boils_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(0.0, _explosion))
    with pytest.raises(UnstableRun, match=r"the temperature is \d+ K, above the limit of 1200 K"):
        start_run(settings, forces=forces)


def test_a_harmless_extra_force_does_not_stop_the_run(settings: Settings, classical_forces: Forces) -> None:
    assert start_run(settings, forces=classical_forces(_after_a_while(1.0, np.zeros_like))).finished


def test_a_failing_force_is_no_instability_and_its_reason_is_told(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(ForceError, match="out of memory while building the graph"):
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _failure)))


def test_a_stopped_run_can_go_on_from_its_last_good_checkpoint(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(UnstableRun):
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).finished


def _assert_only_good_data(folder: Path) -> None:
    trajectory = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert len(trajectory) >= 6
    assert np.isfinite(trajectory.xyz).all()
    assert "nan" not in (folder / "energies.csv").read_text()
    assert (folder / "checkpoints" / "step-000000000020").is_dir()
