"""Cost of a femtosecond: multiple time steps beside both networks alone and beside longer steps with heavy hydrogens.

    python scripts/benchmarks/multiple_steps.py --to scripts/benchmarks/results/multiple-steps.json

The peptide box of the README's first run, embedded networks, compiled, one thread, Reference platform. Kinds of steps
take turns, so that other work on the machine burdens all alike; the median CPU time of the rounds is kept.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import numpy as np
import openmm
from openmm import app, unit
from results_file import describe_run, write_results

from orbmm.cli.host_memory import keep_freed_memory
from orbmm.forces.attach import create_system
from orbmm.run_files.state_xml import read_state
from orbmm.settings import ModelSettings, Stage
from orbmm.simulation.system.integrators import make_integrator

SLOW, FAST = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
BOX = Path(__file__).parents[2] / "systems" / "alanine-dipeptide"
ROUND_FS = 16.0  # a multiple of every outer step


@dataclass(frozen=True)
class Kind:
    """One way of taking steps. inner_steps: in each outer one; mass: of the hydrogens, only for the table [g/mol]"""

    words: str
    model: str
    fast: str | None
    timestep_fs: float
    inner_steps: int = 1
    mass: float = 1.008


KINDS = (
    Kind("conservative alone", SLOW, None, 0.5),
    Kind("direct alone", FAST, None, 0.5),
    Kind("multiple time steps", SLOW, FAST, 0.5, 2),
    Kind("multiple time steps", SLOW, FAST, 0.5, 4),
    Kind("multiple time steps, heavy hydrogens", SLOW, FAST, 1.0, 4, 4.0),
    Kind("conservative alone", SLOW, None, 1.0),
    Kind("conservative alone, heavy hydrogens", SLOW, None, 2.0, 1, 4.0),
)


def open_context(kind: Kind, topology: app.Topology) -> openmm.Context:
    """The box at 300 K with the integrator that a run would take. The masses do not change the cost of a step."""
    system = create_system(topology, ModelSettings(kind.model, fast=kind.fast, compile=True))
    outer_fs = kind.timestep_fs * kind.inner_steps
    stage = Stage("produce", 300.0, outer_fs, friction_per_ps=1.0, inner_steps=kind.inner_steps)
    context = openmm.Context(system, make_integrator(stage, 1), openmm.Platform.getPlatformByName("Reference"))
    state = read_state(BOX / "equilibrated.xml")
    context.setPositions(state.positions)
    context.setVelocities(state.velocities)
    return context


def measure(topology: app.Topology, rounds: int) -> list[dict[str, float | str]]:
    """CPU milliseconds of each kind for a femtosecond."""
    contexts = [open_context(kind, topology) for kind in KINDS]
    costs: list[list[float]] = [[] for _ in KINDS]
    for number in range(rounds + 1):
        for kind, context, cost in zip(KINDS, contexts, costs, strict=True):
            before = time.process_time()
            context.getIntegrator().step(round(ROUND_FS / (kind.timestep_fs * kind.inner_steps)))
            if number > 0:  # the first round compiles
                cost.append(1000 * (time.process_time() - before) / ROUND_FS)
    medians = [float(np.median(cost)) for cost in costs]
    return [
        {
            "steps": kind.words,
            "timestep_fs": kind.timestep_fs,
            "inner_steps": kind.inner_steps,
            "hydrogen_mass_amu": kind.mass,
            "cpu_ms_per_fs": median,
            "gain": medians[0] / median,
        }
        for kind, median in zip(KINDS, medians, strict=True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()
    about = describe_run(threads=1)
    topology = app.PDBFile(str(BOX / "alanine-dipeptide.pdb")).topology
    topology.setPeriodicBoxVectors(read_state(BOX / "equilibrated.xml").box * unit.nanometer)
    rows = measure(topology, arguments.rounds)
    for row in rows:
        print(row)
    write_results(arguments.to, about, {"atoms": topology.getNumAtoms(), "rows": rows})
