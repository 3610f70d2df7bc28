"""Energy conservation of the conservative embedded network: constant-energy dynamics after a Langevin run.

    python scripts/embedded/measure_drift.py --run runs/long --to docs/embedded

Starts from the last checkpoint of a run folder, integrates with velocity Verlet and fits a line to the total energy.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import openmm
from matplotlib.figure import Figure
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.forces.attach import create_system
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.run_files.state_xml import read_state
from orbmm.settings import ModelSettings
from orbmm.units import EV_PER_KJ_PER_MOL

MODEL = "orb-mini-conservative-inf-xtb"
TIMESTEP_FS = 0.5
STEPS_PER_ROW = 10


def conserve(run: Path, length_ps: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Time [ps], total energy against its start [meV/atom], number of atoms."""
    topology = app.PDBFile(str(run / "topology.pdb")).topology
    newest = max((run / "checkpoints").glob("step-*/state.xml"), key=lambda path: path.stat().st_mtime)
    state = read_state(newest)
    system = create_system(topology, ModelSettings(name=MODEL, precision="float32-highest"))
    integrator = openmm.VerletIntegrator(TIMESTEP_FS * unit.femtosecond)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPeriodicBoxVectors(*state.box)
    context.setPositions(state.positions)
    context.setVelocities(state.velocities)
    energies = []
    rows = round(1000 * length_ps / TIMESTEP_FS / STEPS_PER_ROW)
    for _ in range(rows):
        integrator.step(STEPS_PER_ROW)
        now = context.getState(energy=True)
        energies.append((now.getPotentialEnergy() + now.getKineticEnergy()).value_in_unit(unit.kilojoule_per_mole))
    atoms = topology.getNumAtoms()
    per_atom = 1000 * EV_PER_KJ_PER_MOL * (np.array(energies) - energies[0]) / atoms
    return np.arange(1, rows + 1) * STEPS_PER_ROW * TIMESTEP_FS / 1000, per_atom, atoms


def draw(time_ps: np.ndarray, energy: np.ndarray, slope: float, path: Path) -> None:
    """Total energy along time with the fitted line."""
    figure = Figure(figsize=(5.0, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(time_ps, energy, lw=0.8, color="0.3", label="total energy")
    axes.plot(
        time_ps,
        slope * (time_ps - time_ps.mean()) + energy.mean(),
        lw=1.5,
        color="#0072B2",
        label=f"{slope:+.3f} meV/atom/ps",
    )
    axes.set(xlabel="time (ps)", ylabel="energy against start (meV/atom)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("docs/embedded"))
    parser.add_argument("--length-ps", type=float, default=2.0)
    arguments = parser.parse_args()
    keep_freed_memory()
    time_ps, energy, atoms = conserve(arguments.run, arguments.length_ps)
    slope = float(np.polyfit(time_ps, energy, 1)[0])
    arguments.to.mkdir(parents=True, exist_ok=True)
    summary = {
        "model": MODEL,
        "weights_sha256": find_record(MODEL).sha256,
        "atoms": atoms,
        "length_ps": arguments.length_ps,
        "drift_meV_atom_ps": slope,
        "spread_meV_atom": float(energy.std()),
    }
    print(json.dumps(summary))
    (arguments.to / "drift.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(time_ps, energy, slope, arguments.to / "drift.png")
