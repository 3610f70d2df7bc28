"""Our reporters in a plain OpenMM script: what they write, and what stops it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

import orbmm
from orbmm.errors import ModelError, RunError, UnstableRun
from orbmm.run_files.confidence import record_type
from orbmm.settings import GuardSettings, ModelSettings, SystemSettings
from orbmm.simulation.force_source import Forces, ForceSource
from orbmm.simulation.start.structure import read_start

MakeForces = Callable[..., ForceSource]
pytestmark = pytest.mark.filterwarnings("default")  # what torch and Warp warn of on loading is not ours


@pytest.fixture
def simulation(water_box: Path, classical_forces: MakeForces) -> app.Simulation:
    """15 waters with classical forces at 300 K."""
    return _open(water_box, classical_forces())


def _open(water_box: Path, forces: Forces) -> app.Simulation:
    structure = app.PDBFile(str(water_box))
    simulation = app.Simulation(
        structure.topology,
        forces.create_system(structure.topology),
        openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 1.0 / unit.picosecond, 0.5 * unit.femtosecond),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(structure.positions)
    simulation.context.setVelocitiesToTemperature(300, 1)
    return simulation


def test_the_rmsd_is_that_of_the_chosen_atoms(simulation: app.Simulation, tmp_path: Path) -> None:
    simulation.reporters.append(orbmm.RmsdReporter(tmp_path / "rmsd.csv", 10, "name O"))
    simulation.step(30)
    rows = np.genfromtxt(tmp_path / "rmsd.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == [10, 20, 30]
    assert np.allclose(rows["time_ps"], [0.005, 0.01, 0.015])
    assert 0.0 < rows["rmsd_nm"][0] < rows["rmsd_nm"][-1] < 0.1


def test_the_rmsd_does_not_see_motion_of_the_whole(simulation: app.Simulation, tmp_path: Path) -> None:
    start = simulation.context.getState(positions=True).getPositions(asNumpy=True)
    turned = np.array(start._value)[:, [1, 2, 0]] + 5.0  # a rotation about the diagonal, and a shift
    simulation.reporters.append(orbmm.RmsdReporter(tmp_path / "rmsd.csv", 1, "all", reference=turned))
    simulation.integrator.setStepSize(1e-9)
    simulation.step(1)
    assert float((tmp_path / "rmsd.csv").read_text().split(",")[-1]) < 1e-3


def test_a_selection_of_no_atom_is_told_at_the_first_step(simulation: app.Simulation, tmp_path: Path) -> None:
    simulation.reporters.append(orbmm.RmsdReporter(tmp_path / "rmsd.csv", 10))
    with pytest.raises(RunError, match="'backbone' chooses no atom"):
        simulation.step(1)


def test_the_guard_lets_a_healthy_simulation_pass(simulation: app.Simulation) -> None:
    simulation.reporters.append(orbmm.StabilityGuard(5))
    simulation.step(50)
    assert simulation.currentStep == 50


def test_the_guard_stops_a_broken_bond_before_it_is_written(
    water_box: Path, classical_forces: MakeForces, tmp_path: Path
) -> None:
    def pull() -> openmm.Force:
        force = openmm.CustomExternalForce("-15000*x")
        force.addParticle(4, [])
        return force

    simulation = _open(water_box, classical_forces(pull))
    lax = GuardSettings(temperature_limit_kelvin=1e9, force_limit_kj_mol_nm=1e9)
    simulation.reporters.append(orbmm.StabilityGuard(5, lax, tmp_path / "bad"))
    simulation.reporters.append(app.StateDataReporter(str(tmp_path / "table.csv"), 5, step=True))
    simulation.reporters.append(app.XTCReporter(str(tmp_path / "frames.xtc"), 5))
    with pytest.raises(
        UnstableRun, match=r"bond of atoms 3 \(O of HOH 2\), 4 .* last good frames and forces are in .*bad"
    ):
        simulation.step(200)
    last = int((tmp_path / "table.csv").read_text().splitlines()[-1])
    assert last == simulation.currentStep - 5
    assert len(mdtraj.load(tmp_path / "frames.xtc", top=water_box)) == last // 5
    assert (tmp_path / "bad" / f"good-{last:012d}.pdb").is_file()


def test_confidence_is_written_in_the_format_of_a_run(water_box: Path, tmp_path: Path) -> None:
    from orbmm.simulation.force_source import NetworkForces

    start = read_start(SystemSettings(name="water", structure=water_box))
    simulation = _open(water_box, NetworkForces().resolve(ModelSettings(), start, None))
    path = tmp_path / "confidence.dat"
    simulation.reporters.append(orbmm.ConfidenceReporter(path, 2, ModelSettings().name))
    simulation.step(4)
    records = np.fromfile(path, dtype=record_type(45))
    assert records["step"].tolist() == [2, 4]
    assert ((records["error"] > 0.0) & (records["error"] < 0.3)).all()
    assert json.loads(path.with_suffix(".json").read_text())["every_fs"] == pytest.approx(1.0)


def test_a_model_without_a_confidence_head_is_named(
    simulation: app.Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orbmm.forces.confidence.has_confidence", lambda potential: False)
    simulation.reporters.append(orbmm.ConfidenceReporter(tmp_path / "c.dat", 1, ModelSettings().name))
    with pytest.raises(ModelError, match="orb-mini-conservative-inf-xtb has no confidence head"):
        simulation.step(1)


def test_the_example_in_the_documentation_runs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "docs" / "reporters.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "systems").symlink_to(repository / "systems")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/reporters.md", "exec"), names)  # noqa: S102
    assert (tmp_path / "rmsd.csv").read_text().count("\n") == 5
    assert len(names["confidence"]) == 2  # type: ignore[arg-type]
