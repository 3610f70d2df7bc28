"""Compare replicas of a molecule in one System, evaluated as one batch, with a System for each, by CPU time.

OMP_NUM_THREADS=1 python scripts/benchmarks/replicas_in_one_system.py \\
    --output scripts/benchmarks/results/replicas-in-one-system.json

An experiment, not a feature: one PythonForce holds copies of alanine dipeptide that do not see each other. Each copy
keeps its own pairs of close atoms, as the force of orbmm does. Langevin steps on the Reference platform are timed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from batches import MODELS, build_system
from openmm import unit
from results_file import describe_run, write_results

import orbmm
from orbmm.forces.evaluator import SKIN_ANGSTROM
from orbmm.graph.verlet import VerletList
from orbmm.model.network.atom_graph import join_systems
from orbmm.model.potential import Potential
from orbmm.units import KJ_PER_MOL_NM_PER_EV_ANGSTROM, KJ_PER_MOL_PER_EV

MASSES = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999}
COPIES = (1, 2, 8, 32)


@dataclass
class Copies:
    """The function of a PythonForce for copies of one molecule in vacuum."""

    model: Potential
    numbers: np.ndarray
    count: int
    neighbors: list[VerletList] = field(init=False)

    def __post_init__(self) -> None:
        self.composition = self.model.compose(self.numbers)
        record = self.model.record
        found = (record.architecture.cutoff_angstrom, record.max_neighbors, SKIN_ANGSTROM, self.model.search)
        self.neighbors = [VerletList(*found) for _ in range(self.count)]

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        positions = torch.from_numpy(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))  # (C * N, 3)
        graphs = [
            self.model.make_graph(self.composition, each, None, kept.find_edges(each, None))
            for each, kept in zip(positions.split(len(self.numbers)), self.neighbors, strict=True)
        ]
        found = self.model.run(join_systems(graphs))
        forces = found.forces.to(torch.float64).numpy() * KJ_PER_MOL_NM_PER_EV_ANGSTROM
        return float(found.energy.sum()) * KJ_PER_MOL_PER_EV, forces


def measure(model: Potential, count: int, steps: int) -> dict[str, Any]:
    """Return the CPU time of a step and replica [ms] with so many copies, and how far the forces are off at the start.

    The forces are compared with those of a single copy: the largest difference [meV/Å].
    """
    numbers, positions, _ = build_system(22)
    system = openmm.System()
    for number in np.tile(numbers, count):
        system.addParticle(MASSES[int(number)])
    system.addForce(openmm.PythonForce(Copies(model, numbers, count)))
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
    context.setPositions(np.tile(positions, (count, 1)) / 10)
    forces = context.getState(forces=True).getForces(asNumpy=True)._value / KJ_PER_MOL_NM_PER_EV_ANGSTROM
    single = np.tile(model.predict(numbers, positions).forces, (count, 1))
    integrator.step(steps // 10)
    began = time.process_time()
    integrator.step(steps)
    spent = time.process_time() - began
    return {
        "copies": count,
        "cpu_ms_a_step_and_replica": round(1000 * spent / steps / count, 3),
        "largest_force_difference_mev_angstrom": float(1000 * np.abs(forces - single).max()),
    }


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    about, rows = describe_run(threads=1), []
    for name in MODELS:
        model = orbmm.load_model(name, device="cpu")
        rows += [{"model": name, "atoms": 22, **measure(model, count, arguments.steps)} for count in COPIES]
        write_results(arguments.output, about, {"gpu": "not measured", "rows": rows})
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
