"""Total energy without a thermostat, direct beside conservative: Figure 7 of the Orb-v3 paper on the peptide box.

    python scripts/study/energy_conservation.py --work runs/nve --to docs/embedded

Each model starts from the same positions and velocities at 300 K and is integrated by leapfrog (the integrator
"verlet"); they take turns. `--work` keeps the states: stopped and repeated, the script goes on. A run that becomes
hotter than 1500 K is over. Whoever has published weights names them, for instance with 20 and with all neighbours:

    python scripts/study/energy_conservation.py --work runs/nve --to . --models orb-v3-conservative-inf-omat \\
        orb-v3-conservative-20-omat orb-v3-direct-inf-omat orb-v3-direct-20-omat
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import numpy as np
import openmm
from matplotlib.figure import Figure
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.files import replace_file
from orbmm.forces.attach import create_system
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.run_files.state_xml import read_state
from orbmm.settings import ModelSettings
from orbmm.units import EV_PER_KJ_PER_MOL, KJ_PER_MOL_PER_KELVIN

MODELS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")
PEPTIDE = Path(__file__).parents[2] / "systems" / "alanine-dipeptide"
STEPS_PER_ROW, ROWS_PER_SAVE = 10, 10
TURN_PS = 0.25  # the models take turns
HOT_KELVIN = 1500.0  # a run above it is over
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


@dataclass
class Run:
    """One model and what has been seen of it so far: rows of time [ps], total energy [kJ/mol], temperature [K]."""

    model: str
    context: openmm.Context
    kept: Path
    rows: list[list[float]] = field(default_factory=list)

    @property
    def time_ps(self) -> float:
        return self.rows[-1][0] if self.rows else 0.0

    @property
    def too_hot(self) -> bool:
        return bool(self.rows) and not self.rows[-1][2] < HOT_KELVIN


def start_run(model: str, arguments: argparse.Namespace) -> Run:
    """The run as the work folder has it, or new."""
    topology = app.PDBFile(str(PEPTIDE / "alanine-dipeptide.pdb")).topology
    state = read_state(PEPTIDE / "equilibrated.xml")
    topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    settings = ModelSettings(name=model, precision="float32-highest", compile=arguments.compile)
    integrator = openmm.VerletIntegrator(arguments.timestep_fs * unit.femtosecond)
    system = create_system(topology, settings)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    run = Run(model, context, arguments.work / f"{model}-{arguments.timestep_fs:g}fs.npz")
    positions, velocities = state.positions, state.velocities
    if run.kept.exists():
        with np.load(run.kept) as read:
            positions, velocities, run.rows = read["positions"], read["velocities"], read["rows"].tolist()
    context.setPositions(positions)
    context.setVelocities(velocities)
    return run


def extend_run(run: Run, length_ps: float, timestep_fs: float) -> None:
    """Go on to a length of time or until the run is too hot, and keep it."""
    steps = round(1000 * length_ps / timestep_fs)
    done = round(1000 * run.time_ps / timestep_fs)
    while done < steps and not run.too_hot:
        run.context.getIntegrator().step(STEPS_PER_ROW)
        done += STEPS_PER_ROW
        now = run.context.getState(energy=True)
        potential, kinetic = (
            value.value_in_unit(unit.kilojoule_per_mole) for value in (now.getPotentialEnergy(), now.getKineticEnergy())
        )
        kelvin = kinetic / (1.5 * run.context.getSystem().getNumParticles() * KJ_PER_MOL_PER_KELVIN)
        run.rows.append([done * timestep_fs / 1000, potential + kinetic, kelvin])
        if len(run.rows) % ROWS_PER_SAVE == 0 or done >= steps or run.too_hot:
            save_run(run)
            print(run.model, f"{run.time_ps:.2f} ps, {kelvin:.0f} K", flush=True)


def save_run(run: Run) -> None:
    state = run.context.getState(positions=True, velocities=True)
    with replace_file(run.kept) as partial, partial.open("wb") as file:
        np.savez(
            file,
            positions=state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
            velocities=state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond),
            rows=run.rows,
        )


def compute_energies(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time [ps], total energy against its start [meV/atom], and temperature [K], each (R,)."""
    time_ps, total, kelvin = np.array(run.rows).T
    atoms = run.context.getSystem().getNumParticles()
    return time_ps, 1000 * EV_PER_KJ_PER_MOL * (total - total[0]) / atoms, kelvin


def describe_run(run: Run) -> dict[str, Any]:
    """Numbers of a run. The drift is the slope of a line."""
    time_ps, energy, kelvin = compute_energies(run)
    slope, start = np.polyfit(time_ps, energy, 1)
    record = find_record(run.model)
    return {
        "model": run.model,
        "weights_sha256": record.sha256,
        "length_ps": round(run.time_ps, 4),
        "stopped": f"above {HOT_KELVIN:.0f} K" if run.too_hot else None,
        "drift_meV_atom_ps": float(slope),
        "spread_meV_atom": float((energy - start - slope * time_ps).std()),
        "end_meV_atom": float(energy[-20:].mean()),
        "largest_meV_atom": float(np.abs(energy).max()),
        "temperature_first_K": float(kelvin[:20].mean()),
        "temperature_last_K": float(kelvin[-20:].mean()),
    }


def draw(runs: list[Run], path: Path) -> None:
    """Draw the total energy along time: all runs, and below those that stay within a few meV/atom."""
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    whole, close = figure.subplots(2, 1, sharex=True)
    for run, colour in zip(runs, COLOURS, strict=False):
        time_ps, energy, _ = compute_energies(run)
        for axes in (whole, close):
            axes.plot(time_ps, energy, lw=1.0, color=colour, label=run.model)
    whole.set(ylabel="energy (meV/atom)")
    whole.legend(frameon=False)
    close.set(xlabel="time (ps)", ylabel="the same, enlarged", ylim=(-1.0, 1.0))
    figure.savefig(path, dpi=200)


def write_results(runs: list[Run], arguments: argparse.Namespace) -> None:
    """Write the numbers and the picture."""
    summary = {
        "atoms": runs[0].context.getSystem().getNumParticles(),
        "timestep_fs": arguments.timestep_fs,
        "runs": [describe_run(run) for run in runs],
    }
    (arguments.to / "energy-conservation.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(runs, arguments.to / "energy-conservation.png")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--work", type=Path, default=Path("runs/nve"))
    parser.add_argument("--to", type=Path, default=Path("docs/embedded"))
    parser.add_argument("--length-ps", type=float, default=5.0)
    parser.add_argument("--timestep-fs", type=float, default=0.5)
    parser.add_argument("--compile", action="store_true", help="faster steps; needs a C++ compiler")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    keep_freed_memory()
    for folder in (arguments.work, arguments.to):
        folder.mkdir(parents=True, exist_ok=True)
    runs = [start_run(model, arguments) for model in arguments.models]
    for turn in range(1, math.ceil(arguments.length_ps / TURN_PS) + 1):
        for run in runs:
            extend_run(run, min(turn * TURN_PS, arguments.length_ps), arguments.timestep_fs)
        write_results(runs, arguments)
