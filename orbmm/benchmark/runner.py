"""Measure the cost of a run apart from its forces.

The run has 25,000 atoms without forces, and all files, guard and checkpoints at their defaults. The whole loop and the
integrator alone are timed, in milliseconds per step of wall time and of processor time. If other programs share the
cores, only processor time is meaningful, but it does not include the time of the disk.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.forces.confidence import AtomConfidence
from orbmm.settings import ModelSettings, RunSettings, Settings, SystemSettings
from orbmm.simulation.force_source import ForceIdentity
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import start_run
from orbmm.simulation.schedule import plan_stages
from orbmm.simulation.start.structure import Structure, read_start
from orbmm.simulation.system.stage_system import StageSystem

ATOMS = 25_000
WATERS_PER_NM3 = 33.4


class SameConfidence:
    """A confidence that is equal for every atom at every step."""

    bin_edges = np.linspace(0.0, 0.3, 51)

    def __init__(self, atoms: int) -> None:
        self._same = AtomConfidence(np.full(atoms, 5, dtype=np.uint8), np.full(atoms, 0.03))

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Return bins (N,) and errors (N,) [eV/Å]."""
        return self._same


class NoForces:
    """A source of Systems with masses and a CMMotionRemover, but without a network."""

    identity = ForceIdentity("none", "cpu", "0" * 64)

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> NoForces:
        """Return the forces with the settings unchanged, because there is no network."""
        self.model, self.record = model, find_record(model.name)
        return self

    def create_system(self, topology: app.Topology) -> openmm.System:
        """Create a System with the masses and the box of the topology."""
        system = openmm.System()
        for atom in topology.atoms():
            system.addParticle(atom.element.mass)
        system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
        system.addForce(openmm.CMMotionRemover())
        return system

    def open_confidence(self, topology: app.Topology) -> SameConfidence:
        """Return a confidence that takes no time to compute, so that only writing its file is measured."""
        return SameConfidence(topology.getNumAtoms())

    def open_rotation(self, topology: app.Topology) -> None:
        """Return None: without a network nothing depends on orientation."""
        return


def write_waters(path: Path, waters: int) -> None:
    """Write a PDB file of water molecules on a grid, at the density of water."""
    topology, positions = app.Topology(), []
    edge = (waters / WATERS_PER_NM3) ** (1 / 3)
    side = int(np.ceil(waters ** (1 / 3)))
    chain = topology.addChain()
    oxygen, hydrogen = app.element.oxygen, app.element.hydrogen
    for index in range(waters):
        corner = np.array(np.unravel_index(index, (side, side, side))) * edge / side
        residue = topology.addResidue("HOH", chain)
        centre = topology.addAtom("O", oxygen, residue)
        for name in ("H1", "H2"):
            topology.addBond(centre, topology.addAtom(name, hydrogen, residue))
        positions += [corner, corner + [0.0957, 0.0, 0.0], corner + [-0.024, 0.0927, 0.0]]
    topology.setUnitCellDimensions([edge] * 3 * unit.nanometer)
    with path.open("w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(topology, np.array(positions) * unit.nanometer, stream)


@dataclass(frozen=True)
class Clocks:
    """Wall and processor time [s]."""

    wall: float
    processor: float

    @classmethod
    def read(cls) -> Clocks:
        """Return the present times."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Clocks, steps: int) -> dict[str, float]:
        """Return the milliseconds per step since the start."""
        return {
            "wall_ms": round(1000.0 * (self.wall - start.wall) / steps, 3),
            "processor_ms": round(1000.0 * (self.processor - start.processor) / steps, 3),
        }


def time_loop(settings: Settings) -> dict[str, float]:
    """Measure milliseconds per step from after the first step to the last, checkpoints included."""
    clocks: list[Clocks] = []

    def note(progress: Progress) -> None:
        clocks.append(Clocks.read())

    start_run(settings, note, NoForces())
    return clocks[-1].since(clocks[0], settings.run.total_steps)


def time_integrator(settings: Settings, steps: int) -> dict[str, float]:
    """Measure milliseconds per step of the integrator alone, over this many steps."""
    start = read_start(settings.system)
    system = NoForces().create_system(start.topology)
    planned = plan_stages(settings)[-1]
    dynamics = StageSystem(system, start, settings.run.seed, settings.run.platform).open(planned, 0)
    dynamics.context.setPositions(start.positions)
    dynamics.advance(10)
    begin = Clocks.read()
    dynamics.advance(steps)
    return Clocks.read().since(begin, steps)


def measure_runner(steps: int, atoms: int = ATOMS) -> dict[str, dict[str, float]]:
    """Measure milliseconds per step of the loop, of the integrator, and of the runner, which is their difference.

    This sets the default of OpenMM's CPU platform to one thread.
    """
    openmm.Platform.getPlatform("CPU").setPropertyDefaultValue("Threads", "1")
    with tempfile.TemporaryDirectory(prefix="orbmm-runner-") as folder:
        settings = _make_settings(Path(folder), atoms, steps)
        alone, whole = time_integrator(settings, steps), time_loop(settings)
    return {"loop": whole, "integrator": alone, "runner": {name: round(whole[name] - alone[name], 3) for name in whole}}


def _make_settings(work: Path, atoms: int, steps: int) -> Settings:
    write_waters(work / "waters.pdb", round(atoms / 3))
    run = RunSettings(
        minimize=False,
        friction_per_ps=1.0,
        temperature_kelvin=1e-3,  # without forces only the cold keeps every bond within the guard's limit
        length_ps=steps * 0.5 / 1000.0,
        platform="CPU",
        output=work / "run",
    )
    return Settings(SystemSettings(name="waters", structure=work / "waters.pdb"), run=run)
