"""Energy conservation for time steps and hydrogen masses: the map behind the longest time step of the settings.

    python scripts/embedded/measure_steps.py --work runs/steps --to docs/embedded --lengths-ps 0.25 0.5 1

Each point is constant-energy dynamics (leapfrog, as the integrator "verlet") of the conservative embedded network from
the same positions, on a box of water and on the shipped peptide box. Velocities are drawn at 300 K for the masses of
the point. Points take turns until each has the first length, then the next one. `--work` keeps their states: stopped
and repeated, the script goes on.

With `--fast` the same is measured for multiple time steps: inner steps with the direct network, and the difference to
the conservative one in every outer step.

    python scripts/embedded/measure_steps.py --fast --work runs/multiple-steps --to docs/embedded --lengths-ps 0.5 1

Temperatures are those of the velocities at half steps: leapfrog keeps their variance, and reads too small a variance
at whole steps. Multiple time steps have whole steps only. Total energies are OpenMM's, at whole steps.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import numpy as np
import openmm
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import OrbmmError
from orbmm.files import replace_file
from orbmm.forces.attach import create_system
from orbmm.forces.difference import FAST_GROUP, SLOW_GROUP
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.run_files.state_xml import read_state
from orbmm.settings import ModelSettings
from orbmm.simulation.system.restraints import shift_mass_to_hydrogens
from orbmm.units import EV_PER_KJ_PER_MOL, KJ_PER_MOL_PER_KELVIN

MODEL, FAST = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
PEPTIDE = Path(__file__).parents[2] / "systems" / "alanine-dipeptide"
STEPS_FS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
MASSES_AMU = (1.008, 2.0, 3.0, 4.0)
MULTIPLE = (  # inner step [fs], inner steps in an outer one, mass of the hydrogens
    *((0.5, steps, 1.008) for steps in (2, 4, 6, 8)),
    *((0.5, steps, 4.0) for steps in (4, 8)),
    *((1.0, steps, 4.0) for steps in (2, 4, 6)),
)
KELVIN, SEED = 300.0, 7
ROW_FS = 12.0  # about one row of energies
HOT_KELVIN = 1500.0  # a run above it is over
BINS_NM = np.linspace(0.07, 0.15, 161)  # of O-H distances
WATERS_PER_EDGE, WATER_EDGE_NM = 3, 0.9323  # 27 waters at 0.997 g/cm3
WATER_NM = np.array([[0.0, 0.0, 0.0], [0.0957, 0.0, 0.0], [-0.024, 0.0927, 0.0]])


@dataclass(frozen=True)
class Box:
    """A start: topology with a box, positions (N, 3) [nm], and the System with the network's forces."""

    name: str
    topology: app.Topology
    positions: np.ndarray
    system: openmm.System

    def masses(self, hydrogen_amu: float) -> np.ndarray:
        """Masses (N,) [g/mol] with heavy hydrogens."""
        usual = np.array([atom.element.mass.value_in_unit(unit.dalton) for atom in self.topology.atoms()])
        return shift_mass_to_hydrogens(self.topology, usual, hydrogen_amu) if hydrogen_amu > 1.01 else usual

    @property
    def water_bonds(self) -> np.ndarray:
        """Atoms (B, 2) of every O-H bond."""
        pairs = [
            (one.index, other.index)
            for one, other in self.topology.bonds()
            if {one.element.symbol, other.element.symbol} == {"O", "H"}
        ]
        return np.array(pairs)


@dataclass
class Point:
    """One step and mass on one box, and what has been seen of it so far. inner_steps: in each outer one; 1: no other"""

    box: Box
    timestep_fs: float
    inner_steps: int
    hydrogen_amu: float
    positions: np.ndarray
    velocities: np.ndarray
    rows: list[list[float]] = field(default_factory=list)  # time [ps], total energy [kJ/mol], temperatures [K]
    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(BINS_NM) - 1, dtype=np.int64))
    stopped: str = ""

    @property
    def name(self) -> str:
        times = "" if self.inner_steps == 1 else f"-times-{self.inner_steps}"
        return f"{self.box.name}-{self.timestep_fs:g}fs{times}-{self.hydrogen_amu:g}amu"

    @property
    def outer_fs(self) -> float:
        return self.timestep_fs * self.inner_steps

    @property
    def time_ps(self) -> float:
        return self.rows[-1][0] if self.rows else 0.0


def read_peptide(fast: str | None) -> Box:
    """The box of the README's first run, at 300 K."""
    topology = app.PDBFile(str(PEPTIDE / "alanine-dipeptide.pdb")).topology
    state = read_state(PEPTIDE / "equilibrated.xml")
    topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    return Box("peptide", topology, state.positions, make_system(topology, fast))


def make_system(topology: app.Topology, fast: str | None = None) -> openmm.System:
    return create_system(topology, ModelSettings(name=MODEL, fast=fast, precision="float32-highest", compile=True))


def make_water(work: Path, fast: str | None) -> Box:
    """A cube of waters, 4 ps at 300 K with the network itself; kept in the work folder."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(WATERS_PER_EDGE**3):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    topology.setPeriodicBoxVectors(np.eye(3) * WATER_EDGE_NM * unit.nanometer)
    box = Box("water", topology, np.empty(0), make_system(topology, fast))
    kept = work / "water.npy"
    if not kept.exists():
        np.save(kept, equilibrate(box))
    return Box("water", topology, np.load(kept), box.system)


def equilibrate(box: Box) -> np.ndarray:
    """Positions (N, 3) [nm] after a minimisation from a lattice and 4 ps at 300 K with heavy hydrogens."""
    random = np.random.default_rng(SEED)
    places = np.stack(np.meshgrid(*[np.arange(WATERS_PER_EDGE)] * 3), axis=-1).reshape(-1, 3) + 0.5
    turns = [np.linalg.qr(random.normal(size=(3, 3)))[0] for _ in places]
    waters = [
        place * WATER_EDGE_NM / WATERS_PER_EDGE + WATER_NM @ turn for place, turn in zip(places, turns, strict=True)
    ]
    integrator = openmm.LangevinMiddleIntegrator(KELVIN, 5.0, 0.001)
    context = make_context(box, 4.0, integrator)
    context.setPositions(np.concatenate(waters))
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 50)
    context.setVelocitiesToTemperature(KELVIN, SEED)
    integrator.step(4000)
    return context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def make_context(box: Box, hydrogen_amu: float, integrator: openmm.Integrator) -> openmm.Context:
    for index, mass in enumerate(box.masses(hydrogen_amu)):
        box.system.setParticleMass(index, mass)
    return openmm.Context(box.system, integrator, openmm.Platform.getPlatform("Reference"))


def start_point(box: Box, steps: tuple[float, int, float], work: Path) -> Point:
    """The point as the work folder has it, or new."""
    timestep_fs, inner_steps, hydrogen_amu = steps
    velocities = np.random.default_rng(SEED).normal(size=box.positions.shape)  # the same for all points, but for mass
    masses = box.masses(hydrogen_amu)[:, None]
    velocities *= np.sqrt(KJ_PER_MOL_PER_KELVIN * KELVIN / masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    point = Point(box, timestep_fs, inner_steps, hydrogen_amu, box.positions, velocities)
    kept = work / f"{point.name}.npz"
    if kept.exists():
        with np.load(kept) as read:
            point.positions, point.velocities, point.counts = read["positions"], read["velocities"], read["counts"]
            point.rows, point.stopped = read["rows"].tolist(), str(read["stopped"])
    return point


def extend_point(point: Point, length_ps: float, work: Path) -> None:
    """Go on to a length of time, or to the end of a run that fails, and keep it."""
    integrator = openmm.VerletIntegrator(point.timestep_fs * unit.femtosecond)
    if point.inner_steps > 1:
        groups = [(FAST_GROUP, point.inner_steps), (SLOW_GROUP, 1)]
        integrator = openmm.MTSIntegrator(point.outer_fs * unit.femtosecond, groups)
    context = make_context(point.box, point.hydrogen_amu, integrator)
    context.setPositions(point.positions)
    context.setVelocities(point.velocities)
    steps = round(ROW_FS / point.outer_fs)
    try:
        while point.time_ps < length_ps and not point.stopped:
            integrator.step(steps)
            read_row(point, context, steps)
    except (openmm.OpenMMException, OrbmmError) as reason:
        point.stopped = str(reason).splitlines()[0]
    with replace_file(work / f"{point.name}.npz") as partial, partial.open("wb") as file:
        np.savez(
            file,
            positions=point.positions,
            velocities=point.velocities,
            counts=point.counts,
            rows=point.rows,
            stopped=point.stopped,
        )


def read_row(point: Point, context: openmm.Context, steps: int) -> None:
    """Add one row of energies and the O-H distances of this moment."""
    state = context.getState(energy=True, positions=True, velocities=True)
    total = (state.getPotentialEnergy() + state.getKineticEnergy()).value_in_unit(unit.kilojoule_per_mole)
    point.positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    point.velocities = state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
    masses = point.box.masses(point.hydrogen_amu)
    kinetic = 0.5 * masses * (point.velocities**2).sum(axis=1)
    temperatures = [float(kinetic[of].mean() / (1.5 * KJ_PER_MOL_PER_KELVIN)) for of in list_groups(point.box)]
    point.rows.append([point.time_ps + steps * point.outer_fs / 1000, total, *temperatures])
    one, other = point.box.water_bonds.T
    distances = np.linalg.norm(point.positions[one] - point.positions[other], axis=1)
    point.counts += np.histogram(distances, BINS_NM)[0]
    if not temperatures[0] < HOT_KELVIN:
        point.stopped = f"above {HOT_KELVIN:.0f} K"


def list_groups(box: Box) -> list[np.ndarray]:
    """Masks (N,) of all atoms and of each element, in the order of list_symbols."""
    symbols = np.array([atom.element.symbol for atom in box.topology.atoms()])
    return [np.ones(len(symbols), dtype=bool), *(symbols == symbol for symbol in list_symbols(box))]


def list_symbols(box: Box) -> list[str]:
    return sorted({atom.element.symbol for atom in box.topology.atoms()})


def describe_point(point: Point, usual: Point) -> dict[str, Any]:
    """What a point shows. usual: the point with which O-H distances are compared"""
    numbers: dict[str, Any] = {
        "box": point.box.name,
        "timestep_fs": point.timestep_fs,
        "inner_steps": point.inner_steps,
        "hydrogen_mass_amu": point.hydrogen_amu,
        "length_ps": round(point.time_ps, 4),
        "stopped": point.stopped or None,
    }
    if len(point.rows) < 8:
        return numbers
    time_ps, total, *temperatures = np.array(point.rows).T
    energy = 1000 * EV_PER_KJ_PER_MOL * (total - total[0]) / point.box.topology.getNumAtoms()
    line, covariance = np.polyfit(time_ps, energy, 1, cov=True)
    heat, heat_covariance = np.polyfit(time_ps, temperatures[0], 1, cov=True)
    names = ("all", *list_symbols(point.box))
    shares, others = (one.counts / max(one.counts.sum(), 1) for one in (point, usual))
    middles = (BINS_NM[1:] + BINS_NM[:-1]) / 2
    mean = float(shares @ middles)
    return numbers | {
        "drift_meV_atom_ps": float(line[0]),
        "drift_error": float(np.sqrt(covariance[0, 0])),
        "spread_meV_atom": float((energy - np.polyval(line, time_ps)).std()),
        "temperature_slope_K_ps": float(heat[0]),
        "temperature_slope_error": float(np.sqrt(heat_covariance[0, 0])),
        "temperature_K": {name: float(one.mean()) for name, one in zip(names, temperatures, strict=True)},
        "O_H_mean_nm": mean,
        "O_H_deviation_nm": float(np.sqrt(shares @ (middles - mean) ** 2)),
        "O_H_differs_by": float(0.5 * np.abs(shares - others).sum()),
    }


def list_points(boxes: list[Box], fast: str | None, work: Path) -> Iterator[Point]:
    single = [(timestep_fs, 1, hydrogen_amu) for timestep_fs in STEPS_FS for hydrogen_amu in MASSES_AMU]
    for box in boxes:
        for steps in MULTIPLE if fast else single:
            yield start_point(box, steps, work)


def write_map(points: list[Point], path: Path) -> None:
    """Write the numbers of all points."""
    usual = {point.box.name: point for point in reversed(points)}
    summary = {
        "model": MODEL,
        "fast": FAST if any(point.inner_steps > 1 for point in points) else None,
        "weights_sha256": find_record(MODEL).sha256,
        "atoms": {point.box.name: point.box.topology.getNumAtoms() for point in points},
        "points": [describe_point(point, usual[point.box.name]) for point in points],
    }
    path.write_text(json.dumps(summary, indent=1) + "\n")


def print_tables(path: Path) -> None:
    """Print the map of each box as Markdown: drift and spread, or that the run failed."""
    points = json.loads(path.read_text())["points"]
    for box in dict.fromkeys(point["box"] for point in points):
        masses = sorted({point["hydrogen_mass_amu"] for point in points})
        print(f"\n{box}\n\n| step [fs] |", " | ".join(f"{mass:g} g/mol" for mass in masses), "|")
        print("|---|" + "---|" * len(masses))
        for steps in dict.fromkeys((point["timestep_fs"], point["inner_steps"]) for point in points):
            row = [point for point in points if (point["timestep_fs"], point["inner_steps"]) == steps]
            cells = {point["hydrogen_mass_amu"]: format_cell(point) for point in row if point["box"] == box}
            name = f"{steps[0]:g}" if steps[1] == 1 else f"{steps[0]:g} x {steps[1]}"
            print(f"| {name} |", " | ".join(cells.get(mass, "not measured") for mass in masses), "|")


def format_cell(point: dict[str, Any]) -> str:
    if point["stopped"]:
        return f"unstable after {point['length_ps']:.2f} ps"
    if "drift_meV_atom_ps" not in point:
        return "not measured"
    return (
        f"{point['drift_meV_atom_ps']:+.2f} ± {point['drift_error']:.2f}, {point['spread_meV_atom']:.2f} "
        f"({point['length_ps']:.1f} ps)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/steps"))
    parser.add_argument("--to", type=Path, default=Path("docs/embedded"))
    parser.add_argument("--lengths-ps", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--only", nargs="+", help="extend these points only, such as peptide-2fs-4amu")
    parser.add_argument("--fast", action="store_const", const=FAST, help="multiple time steps")
    parser.add_argument("--print", type=Path, metavar="JSON", help="print the tables of a finished map, and end")
    arguments = parser.parse_args()
    if arguments.print is not None:
        print_tables(arguments.print)
        raise SystemExit
    keep_freed_memory()
    arguments.work.mkdir(parents=True, exist_ok=True)
    boxes = [make_water(arguments.work, arguments.fast), read_peptide(arguments.fast)]
    points = list(list_points(boxes, arguments.fast, arguments.work))
    name = "multiple-steps.json" if arguments.fast else "steps.json"
    for length_ps in arguments.lengths_ps:
        for point in points:
            if arguments.only and point.name not in arguments.only:
                continue
            extend_point(point, length_ps, arguments.work)
            print(point.name, f"{point.time_ps:.3f} ps", point.stopped, flush=True)
            write_map(points, arguments.to / name)
