"""A table of RMSD that is continued keeps the reference of its first start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

import orbmm
from orbmm.errors import RunError
from orbmm.simulation.force_source import ForceSource


@pytest.fixture
def open_simulation(water_box: Path, classical_forces: Callable[..., ForceSource]) -> Callable[[], app.Simulation]:
    """Make a simulation of 15 waters with classical forces; all of them move alike."""

    def make() -> app.Simulation:
        structure = app.PDBFile(str(water_box))
        simulation = app.Simulation(
            structure.topology,
            classical_forces().create_system(structure.topology),
            openmm.VerletIntegrator(0.5 * unit.femtosecond),
            openmm.Platform.getPlatform("Reference"),
        )
        simulation.context.setPositions(structure.positions)
        simulation.context.setVelocitiesToTemperature(300, 1)
        return simulation

    return make


def read_rows(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1)


def run_in_two_parts(
    open_simulation: Callable[[], app.Simulation], path: Path, reference: np.ndarray | unit.Quantity | None
) -> None:
    first = open_simulation()
    first.reporters.append(orbmm.RmsdReporter(path, 5, "all", append=True))  # a new file: nothing to continue
    first.step(10)
    first.saveState(str(path.with_suffix(".xml")))
    second = open_simulation()
    second.loadState(str(path.with_suffix(".xml")))
    second.reporters.append(orbmm.RmsdReporter(path, 5, "all", reference=reference, append=True))
    second.step(10)


def test_a_continued_table_measures_from_the_first_start(open_simulation, tmp_path: Path) -> None:
    whole = open_simulation()
    start = whole.context.getState(positions=True).getPositions(asNumpy=True)
    whole.reporters.append(orbmm.RmsdReporter(tmp_path / "whole.csv", 5, "all"))
    whole.step(20)
    run_in_two_parts(open_simulation, tmp_path / "parts.csv", start)
    np.testing.assert_allclose(read_rows(tmp_path / "parts.csv"), read_rows(tmp_path / "whole.csv"), atol=2e-6)
    restart = whole.context.getState(positions=True).getPositions(asNumpy=True)
    run_in_two_parts(open_simulation, tmp_path / "other.csv", restart)
    assert np.abs(read_rows(tmp_path / "other.csv") - read_rows(tmp_path / "whole.csv"))[2:, 2].max() > 1e-3


def test_a_table_is_not_continued_without_its_reference(open_simulation, tmp_path: Path) -> None:
    path = tmp_path / "rmsd.csv"
    with pytest.raises(RunError, match=r"rmsd.csv holds no reference .*: give reference="):
        run_in_two_parts(open_simulation, path, None)
    assert len(read_rows(path)) == 2, "nothing was added"
