"""Temperature of each element, from states that OpenMM itself has written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm
import pytest
from analysis.synthetic import make_box
from openmm import unit

from orbmm.analysis import compute_equipartition, judge
from orbmm.analysis.result import NothingToMeasure
from orbmm.analysis.verdict import Outcome
from orbmm.errors import AnalysisError
from orbmm.simulation.system.restraints import shift_mass_to_hydrogens

BOX = make_box(60)
MASSES = np.array([atom.element.mass for atom in BOX.topology.atoms])
SYMBOLS = np.array([atom.element.symbol for atom in BOX.topology.atoms])


def write_state(
    folder: Path, step: int, hotter: dict[str, float] | None = None, seed: int = 1, masses: np.ndarray = MASSES
) -> None:
    """A checkpoint with velocities drawn by OpenMM at 300 K, those of some elements then made hotter by a factor."""
    system = openmm.System()
    for mass in masses:
        system.addParticle(mass)
    context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(BOX.xyz[0])
    context.setVelocitiesToTemperature(300.0, seed)
    velocities = context.getState(velocities=True).getVelocities(asNumpy=True)
    scale = np.array([(hotter or {}).get(symbol, 1.0) for symbol in SYMBOLS]) ** 0.5
    context.setVelocities(velocities * scale[:, None])
    context.setStepCount(step)
    context.setTime(0.0005 * step * unit.picosecond)
    path = folder / f"step-{step:012d}"
    path.mkdir(parents=True)
    (path / "state.xml").write_text(openmm.XmlSerializer.serialize(context.getState(positions=True, velocities=True)))


def test_elements_of_one_bath_are_equally_hot(tmp_path: Path) -> None:
    write_state(tmp_path, 1000)
    write_state(tmp_path, 2000, seed=2)
    result = compute_equipartition(tmp_path, BOX.topology)
    assert result.values["element"].tolist() == ["C", "H", "N", "O"] and result.number("snapshots") == 2
    off = np.abs(result.values["temperature"] - result.number("kelvin")) / result.values["fluctuation"]
    assert off.max() < 3.0 and result.number("kelvin") == pytest.approx(300.0, abs=3 * 300 * (2 / 1212) ** 0.5)
    (check,) = judge({"equipartition": result}).checks
    assert check.outcome is Outcome.PASSED and "0.5, 1 ps" in result.method


def test_an_element_twice_as_hot_is_found_in_a_bath_of_any_temperature(tmp_path: Path) -> None:
    write_state(tmp_path / "a", 1000, {"H": 3.0, "O": 1.5, "C": 1.5, "N": 1.5})
    result = compute_equipartition(tmp_path / "a", BOX.topology)
    (check,) = judge({"equipartition": result}).checks
    assert check.outcome is Outcome.FAILED and check.says[:5] in ("H at ", "O at ")
    write_state(tmp_path / "b", 1000, dict.fromkeys("HOCN", 3.0))
    assert judge({"equipartition": compute_equipartition(tmp_path / "b", BOX.topology)}).stable


def test_hydrogens_that_were_made_heavier_are_as_hot_as_the_others(tmp_path: Path) -> None:
    """Masses as the simulation itself shifts them; by those of the elements the same velocities would be no bath's."""
    masses = shift_mass_to_hydrogens(BOX.topology.to_openmm(), MASSES, 3.0)
    write_state(tmp_path, 1000, masses=masses)
    assert judge({"equipartition": compute_equipartition(tmp_path, BOX.topology, hydrogen_amu=3.0)}).stable
    assert not judge({"equipartition": compute_equipartition(tmp_path, BOX.topology)}).stable


def test_chances_are_spread_evenly_over_many_baths(tmp_path: Path) -> None:
    """In a bath every chance is as likely as any other: a tenth of them lies below 0.1."""
    chances = []
    for seed in range(1, 121):
        write_state(tmp_path / str(seed), 1000, seed=seed)
        values = compute_equipartition(tmp_path / str(seed), BOX.topology).values
        chances.append(values["chance"][values["element"].tolist().index("O")])
    assert 0.02 < np.mean(np.array(chances) < 0.1) < 0.2 and 0.4 < np.mean(chances) < 0.6


def test_drawn_and_discarded_velocities_do_not_count(tmp_path: Path) -> None:
    write_state(tmp_path, 0)
    with pytest.raises(NothingToMeasure, match="no checkpoint with velocities after the start"):
        compute_equipartition(tmp_path, BOX.topology)
    write_state(tmp_path, 1000)
    assert compute_equipartition(tmp_path, BOX.topology, discard_ps=0.5).frames == 1
    with pytest.raises(NothingToMeasure):
        compute_equipartition(tmp_path, BOX.topology, discard_ps=0.51)


def test_other_atoms_and_damaged_states_are_refused(tmp_path: Path) -> None:
    write_state(tmp_path, 1000)
    with pytest.raises(AnalysisError, match="has 202 atoms, but the topology 22"):
        compute_equipartition(tmp_path, BOX.topology.subset(range(22)))
    path = tmp_path / "step-000000001000" / "state.xml"
    path.write_text(path.read_text()[:5000])
    with pytest.raises(AnalysisError, match="cannot be read as a state of OpenMM"):
        compute_equipartition(tmp_path, BOX.topology)
