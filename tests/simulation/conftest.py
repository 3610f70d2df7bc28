"""A small periodic box of flexible water with classical forces: real dynamics, milliseconds a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import openmm
import pytest
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.settings import ModelSettings, RunSettings, Settings, SystemSettings
from orbmm.simulation.force_source import ConfidenceSource, ForceIdentity
from orbmm.simulation.start.structure import Structure


@cache
def _read_force_field() -> app.ForceField:
    return app.ForceField("amber14/tip3pfb.xml")


class ClassicalForces:
    """TIP3P-FB without constraints; `make_extra` makes another force, `confidence` is a source of confidence."""

    def __init__(
        self,
        make_extra: Callable[[], openmm.Force] | None = None,
        weights: str = "0" * 64,
        confidence: ConfidenceSource | None = None,
    ) -> None:
        self.make_extra = make_extra
        self.identity = ForceIdentity("classical", "cpu", weights)
        self.confidence = confidence

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> ClassicalForces:
        """As given: a force field leaves nothing open."""
        self.model, self.record = model, find_record(model.name)
        return self

    def create_system(self, topology: app.Topology) -> openmm.System:
        """A System as the network's would be: flexible, with its momentum removed."""
        system = _read_force_field().createSystem(
            topology,
            nonbondedMethod=app.CutoffPeriodic,
            nonbondedCutoff=0.35 * unit.nanometer,
            constraints=None,
            rigidWater=False,
        )
        if self.make_extra is not None:
            system.addForce(self.make_extra())
        return system

    def open_rotation(self, topology: app.Topology) -> None:
        """A force field is invariant."""

    def open_confidence(self, topology: app.Topology) -> ConfidenceSource | None:
        """A force field by itself knows nothing of its errors."""
        return self.confidence


@pytest.fixture
def classical_forces() -> type[ClassicalForces]:
    """Made by a test with what it wants to add."""
    return ClassicalForces


@pytest.fixture(scope="session")
def water_box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDB file of 15 waters in a cube, relaxed a little."""
    field = _read_force_field()
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(field, model="tip3p", numAdded=15, neutralize=False)
    simulation = app.Simulation(
        modeller.topology,
        ClassicalForces().create_system(modeller.topology),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy(maxIterations=100)
    path = tmp_path_factory.mktemp("water") / "water.pdb"
    with path.open("w") as stream:
        positions = simulation.context.getState(positions=True).getPositions()
        app.PDBFile.writeFile(modeller.topology, positions, stream)
    return path


@pytest.fixture
def settings(water_box: Path, tmp_path: Path) -> Settings:
    """A run of 60 steps that writes often, on the platform that repeats bit by bit."""
    run = RunSettings(
        minimize=False,
        length_ps=0.03,
        frame_every_fs=2.0,
        table_every_fs=5.0,
        checkpoint_every_ps=0.01,
        platform="Reference",
        output=tmp_path / "run",
    )
    return Settings(SystemSettings(name="water", structure=water_box), run=run)


@pytest.fixture
def force(request: pytest.FixtureRequest, require_force_kind: Callable[[str], str]) -> str:
    """A force kind (indirect parameter) that can run here."""
    return require_force_kind(request.param)
