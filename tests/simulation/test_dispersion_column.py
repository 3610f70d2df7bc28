"""The energy of an added dispersion has a column of its own, alone or in a shared group; reading it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.forces.dispersion_group import DISPERSION
from orbmm.run_files.checkpoints import STATE_FILE, list_checkpoints
from orbmm.run_files.state_xml import read_state
from orbmm.settings import Settings, override_settings
from orbmm.simulation.force_source import ForceSource
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


def test_the_column_holds_the_energy_of_the_group(
    settings: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    forces = classical_forces(make_bond)
    rows = read_rows(override_settings(settings, ADDED), forces)
    plain = read_rows(override_settings(settings, {"run": {"output": settings.run.output / "plain"}}), forces)
    assert COLUMN not in plain.dtype.names
    assert np.ptp(rows[COLUMN]) > 1e-3 and (rows[COLUMN] >= 0.0).all()
    names = [name for name in plain.dtype.names if name != "speed_ns_per_day"]
    for name in names:
        np.testing.assert_array_equal(rows[name], plain[name])
    bare = override_settings(settings, {"run": {"output": settings.run.output / "bare"}})
    without = read_rows(bare, classical_forces())["potential_energy_kJ_mol"][0]
    assert rows["potential_energy_kJ_mol"][0] - rows[COLUMN][0] == pytest.approx(without, abs=3e-6)  # of six digits


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
    ends = [(list_checkpoints(each / "checkpoints")[-1].path / STATE_FILE).read_bytes() for each in (whole, parts)]
    assert ends[0] == ends[1]
    without = SlowForces(classical_forces())  # the bond gone
    other = start_run(run("other", dispersion="none"), forces=without).folder
    assert (list_checkpoints(other / "checkpoints")[-1].path / STATE_FILE).read_bytes() != ends[0]
