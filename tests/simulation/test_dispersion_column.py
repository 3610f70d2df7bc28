"""The energy of an added dispersion has a column of its own, alone or in a shared group; reading it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.errors import UnstableRun
from orbmm.forces.dispersion_group import DISPERSION, DispersionMeter
from orbmm.run_files.checkpoints import STATE_FILE, list_checkpoints
from orbmm.run_files.state_xml import read_state
from orbmm.settings import Settings, override_settings
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.guard.guard import Guard
from orbmm.simulation.loop import Loop
from orbmm.simulation.run import resume_run, start_run

COLUMN = "dispersion_energy_kJ_mol"
ADDED = {"model": {"name": "orb-v3-direct-20-omat", "dispersion": "d3bj-pbe"}, "run": {"friction_per_ps": 1.0}}


def make_bond() -> openmm.Force:
    """A force under the name of the dispersion that is quick to compute: a long bond between two waters."""
    force = openmm.HarmonicBondForce()
    force.addBond(0, 3, 0.2, 500.0)
    force.setName(DISPERSION)
    force.setForceGroup(1)
    return force


def make_plain_bond() -> openmm.Force:
    """The same force under another name, which no run takes for a dispersion."""
    force = make_bond()
    force.setName("Bond")
    return force


def make_pull() -> openmm.Force:
    """A pull to the middle of the box in the slow group, which stands for the difference of two networks."""
    force = openmm.CustomExternalForce("20*((x-0.4)^2 + (y-0.4)^2 + (z-0.4)^2)")
    for index in range(45):
        force.addParticle(index)
    force.setForceGroup(1)
    return force


class SlowForces:
    """Classical forces with two more in the slow group of multiple time steps: the pull and the bond."""

    def __init__(self, forces: ForceSource) -> None:
        self._forces = forces

    def resolve(self, *given: object) -> SlowForces:
        """As the forces do."""
        self._forces.resolve(*given)
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._forces, name)

    def create_system(self, topology: app.Topology) -> openmm.System:
        """The System of the forces, which adds the bond, and the pull."""
        system = self._forces.create_system(topology)
        system.addForce(make_pull())
        return system


def read_rows(settings: Settings, forces: ForceSource) -> np.ndarray:
    folder = start_run(settings, forces=forces).folder
    return np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)


def read_end(folder: Path) -> bytes:
    """The state of the last checkpoint."""
    return (list_checkpoints(folder / "checkpoints")[-1].path / STATE_FILE).read_bytes()


def assert_same(folder: Path, control: Path) -> None:
    """Two runs have the same rows, but for the speed and the column of the dispersion, and the same end."""
    rows, others = (np.genfromtxt(each / "energies.csv", delimiter=",", names=True) for each in (folder, control))
    assert COLUMN in rows.dtype.names and COLUMN not in others.dtype.names
    assert set(rows.dtype.names) == {*others.dtype.names, COLUMN}
    for name in set(others.dtype.names) - {"speed_ns_per_day"}:
        np.testing.assert_array_equal(rows[name], others[name])
    assert read_end(folder) == read_end(control)


@pytest.fixture
def disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of the dispersion changes the velocities a little."""
    observe = Loop._observe

    def observe_and_disturb(loop: Loop, due: list) -> Frame:
        frame = observe(loop, due)
        if frame.dispersion_energy is not None:
            loop.dynamics.context.setVelocities(frame.velocities * (1.0 + 1e-12))
        return frame

    monkeypatch.setattr(Loop, "_observe", observe_and_disturb)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The positions at which a dispersion was measured."""
    found: list[np.ndarray] = []
    measure = DispersionMeter.measure

    def note(meter: DispersionMeter, positions: np.ndarray, box: np.ndarray | None) -> float:
        found.append(positions)
        return measure(meter, positions, box)

    monkeypatch.setattr(DispersionMeter, "measure", note)
    return found


def test_the_column_holds_the_energy_of_the_group(
    settings: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    forces = classical_forces(make_bond)
    rows = read_rows(override_settings(settings, ADDED), forces)
    assert np.ptp(rows[COLUMN]) > 1e-3 and (rows[COLUMN] >= 0.0).all()
    bare = override_settings(settings, {"run": {"output": settings.run.output / "bare"}})
    without = read_rows(bare, classical_forces())["potential_energy_kJ_mol"][0]
    assert rows["potential_energy_kJ_mol"][0] - rows[COLUMN][0] == pytest.approx(without, abs=3e-6)  # of six digits


def run_beside_control(settings: Settings, make_forces: Callable[..., ForceSource]) -> tuple[Path, Path]:
    """A run that measures its bond as a dispersion, and one with the same bond that measures nothing."""
    control = override_settings(settings, {"run": {"output": settings.run.output.parent / "control"}})
    control = override_settings(control, {"model": {"dispersion": "none"}})
    folder = start_run(settings, forces=make_forces(make_bond)).folder
    return folder, start_run(control, forces=make_forces(make_plain_bond)).folder


def test_the_column_changes_no_bit(settings: Settings, classical_forces: Callable[..., ForceSource]) -> None:
    assert_same(*run_beside_control(override_settings(settings, ADDED), classical_forces))


@pytest.mark.usefixtures("disturbed")
def test_a_reading_that_changes_the_run_would_be_seen(
    settings: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    folders = run_beside_control(override_settings(settings, ADDED), classical_forces)
    with pytest.raises(AssertionError):
        assert_same(*folders)


def test_a_dispersion_that_nobody_asked_for_is_not_measured(
    settings: Settings, classical_forces: Callable[..., ForceSource], measured: list[np.ndarray]
) -> None:
    rows = read_rows(override_settings(settings, {"run": ADDED["run"]}), classical_forces(make_bond))
    assert len(rows) == 7 and measured == []


def test_it_is_measured_once_a_row_and_not_while_a_fault_is_traced(
    settings: Settings,
    classical_forces: Callable[..., ForceSource],
    measured: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced: list[int] = []

    def check(guard: Guard, frame: Frame) -> None:
        traced.append(frame.step)
        if frame.step >= 15:
            raise UnstableRun("a fault of this test")

    monkeypatch.setattr(Guard, "check", check)
    with pytest.raises(UnstableRun):
        start_run(override_settings(settings, ADDED), forces=classical_forces(make_bond))
    assert traced[-4:] == [12, 13, 14, 15], "the steps to the fault were repeated"
    assert len(measured) == 2, "rows of steps 0 and 10"


def test_a_run_with_the_column_resumes(settings: Settings, classical_forces: Callable[..., ForceSource]) -> None:
    settings = override_settings(settings, ADDED)
    outcome = start_run(settings, forces=classical_forces(make_bond), max_hours=1e-9)
    assert not outcome.finished
    folder = resume_run(outcome.folder, forces=classical_forces(make_bond)).folder
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    assert len(rows) == 7 and np.isfinite(rows[COLUMN]).all()


SPLIT = {
    "model": {"name": "orb-v3-conservative-inf-omat", "fast": "orb-v3-direct-inf-omat", "dispersion": "d3bj-pbe"},
    "run": {"friction_per_ps": 1.0, "outer_steps": 2, "table_every_fs": 5.0},
}


def compute_at_the_end(folder: Path) -> tuple[float, float]:
    """The energies [kJ/mol] of the bond and of the pull at the last checkpoint, from their formulas."""
    state = read_state(list_checkpoints(folder / "checkpoints")[-1].path / STATE_FILE)
    positions = np.array(state.positions)
    distance = float(np.linalg.norm(positions[3] - positions[0]))
    return 250.0 * (distance - 0.2) ** 2, 20.0 * float(((positions - 0.4) ** 2).sum())


@pytest.fixture
def split(settings: Settings) -> Settings:
    """The run with outer steps of 1 fs, of two inner steps each."""
    return override_settings(settings, SPLIT)


def test_with_multiple_time_steps_the_column_is_of_the_dispersion_and_not_of_its_group(
    split: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    rows = read_rows(split, SlowForces(classical_forces(make_bond)))
    bond, pull = compute_at_the_end(split.run.output)
    assert len(rows) == 7 and rows[COLUMN][-1] == pytest.approx(bond, abs=2e-6)  # of six digits
    assert pull > 1.0, "the group holds another energy too"
    assert np.ptp(rows[COLUMN]) > 1e-3


def test_with_multiple_time_steps_the_column_changes_no_bit_and_a_resumed_run_has_the_same(
    split: Settings, classical_forces: Callable[..., ForceSource], tmp_path: Path
) -> None:
    def run(name: str, **changes: object) -> Settings:
        return override_settings(split, {"run": {"output": tmp_path / name}, "model": changes})

    def read_table(folder: Path) -> list[list[str]]:
        return [line.rsplit(",", 1)[0].split(",") for line in (folder / "energies.csv").read_text().splitlines()]

    def stop(progress) -> None:
        if progress.step >= 7:
            raise KeyboardInterrupt

    forces = SlowForces(classical_forces(make_bond))
    whole = start_run(run("whole"), forces=forces).folder
    with pytest.raises(KeyboardInterrupt):
        start_run(run("parts"), stop, forces)
    parts = resume_run(tmp_path / "parts", forces=forces).folder
    assert read_table(parts) == read_table(whole)
    assert read_end(parts) == read_end(whole)
    unmeasured = SlowForces(classical_forces(make_plain_bond))
    assert_same(whole, start_run(run("control", dispersion="none"), forces=unmeasured).folder)
    without = SlowForces(classical_forces())  # the bond gone
    assert read_end(start_run(run("other", dispersion="none"), forces=without).folder) != read_end(whole)
