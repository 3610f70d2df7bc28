"""Compare replicas of a small system in one System, evaluated as one batch, with a single one, by CPU time.

OMP_NUM_THREADS=1 python scripts/benchmarks/replicas_in_one_system.py \\
    --output scripts/benchmarks/results/replicas-in-one-system.json

Alanine dipeptide (22 atoms) is a molecule, the others are cubes of water. Langevin steps on the Reference platform are
timed. All counts of copies of a system take turns in one process; the median of the rounds is kept.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from batches import MODELS, SHAKE_ANGSTROM, build_system
from openmm import app, unit
from results_file import describe_run, write_results

import orbmm
from orbmm.forces.replicas import Replicas, create_replicas
from orbmm.settings.model import ModelSettings
from orbmm.units import KJ_PER_MOL_NM_PER_EV_ANGSTROM

LEAST_STEPS = 40  # so that each round has searches for neighbours among its steps
COPIES = {22: (1, 2, 8, 32), 99: (1, 8), 255: (1, 8)}  # atoms: copies


@dataclass(frozen=True)
class Case:
    """A System of replicas, shaken differently, in a Context. difference: of the forces at the start [meV/Å]"""

    replicas: Replicas
    integrator: openmm.Integrator
    context: openmm.Context
    difference: float


def build_topology(atoms: int, cell: np.ndarray | None) -> app.Topology:
    """Return the topology of the system of `build_system`; without bonds, which change no force. cell: (3, 3) [Å]"""
    topology = app.Topology()
    chain = topology.addChain()
    for number in build_system(atoms)[0]:
        element = app.Element.getByAtomicNumber(int(number))
        topology.addAtom(element.symbol, element, topology.addResidue("UNK", chain))
    if cell is not None:
        topology.setPeriodicBoxVectors(cell * unit.angstrom)
    return topology


def open_case(name: str, atoms: int, copies: int) -> Case:
    """Open a Context for so many copies, and compare their forces with those of single predictions."""
    numbers, positions, cell = build_system(atoms)
    model = ModelSettings(name, device="cpu", force="PythonForce")
    replicas = create_replicas(build_topology(atoms, cell), model, copies)
    shaken = positions + SHAKE_ANGSTROM * np.random.default_rng(0).normal(size=(copies, *positions.shape))
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(replicas.system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPositions(shaken.reshape(-1, 3) / 10)
    context.setVelocitiesToTemperature(300, 1)
    forces = context.getState(forces=True).getForces(asNumpy=True)._value / KJ_PER_MOL_NM_PER_EV_ANGSTROM
    single = orbmm.load_model(name, device="cpu")
    expected = np.concatenate([single.predict(numbers, each, cell).forces for each in shaken])
    return Case(replicas, integrator, context, float(1000 * np.abs(forces - expected).max()))


def compare(name: str, atoms: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each number of copies: CPU time of a step and replica [ms], and how much a copy gains."""
    cases = [open_case(name, atoms, copies) for copies in COPIES[atoms]]
    found: list[list[float]] = [[] for _ in cases]
    for turn in range(rounds + 1):
        for case, times in zip(cases, found, strict=True):
            spent = time_steps(case, max(LEAST_STEPS, steps // case.replicas.copies))
            if turn:  # the first is for warm-up
                times.append(spent)
    alone = statistics.median(found[0])
    return [
        {
            "model": name,
            "atoms": atoms,
            "copies": case.replicas.copies,
            "cpu_ms_a_step_and_replica": round(statistics.median(times), 3),
            "spread": [round(min(times), 3), round(max(times), 3)],
            "gain": round(alone / statistics.median(times), 2),
            "largest_force_difference_mev_angstrom": case.difference,
        }
        for case, times in zip(cases, found, strict=True)
    ]


def time_steps(case: Case, steps: int) -> float:
    """Return the CPU time of a step and replica [ms]."""
    began = time.process_time()
    case.integrator.step(steps)
    return 1000 * (time.process_time() - began) / steps / case.replicas.copies


def main() -> None:
    """Measure and write JSON after each system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=200, help="of a single copy in a round; fewer of more (default 200)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is kept (default 5)")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    about, rows = describe_run(threads=1), []
    for name in MODELS:
        for atoms in COPIES:
            rows += compare(name, atoms, arguments.steps if atoms < 50 else arguments.steps // 4, arguments.rounds)
            print(*rows[-len(COPIES[atoms]) :], sep="\n", flush=True)
            write_results(arguments.output, about, {"gpu": "not measured", "rows": rows})


if __name__ == "__main__":
    main()
