"""The energy of an added dispersion has a column of its own, and reading it changes nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openmm
import pytest

from orbmm.forces.dispersion_group import DISPERSION
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
