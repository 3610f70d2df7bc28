"""What the neighbour graph costs per step, searched afresh and with skins, beside what the network costs.

    python benchmarks/skin.py systems/alanine-dipeptide/equilibrated.xml systems/alanine-dipeptide/alanine-dipeptide.pdb

The path is real dynamics of the model named, 0.5 fs a step. Times are CPU time of one thread, which does not change much
when other programs share the cores. A step's share is graph / (graph + network).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openmm
import torch
from openmm import app, unit

from orbmm.forces.system import create_system
from orbmm.graph.edges import find_edges
from orbmm.graph.verlet import VerletList
from orbmm.model.load import load_model
from orbmm.settings.model import DEFAULT_MODEL, ModelSettings

SKINS_ANGSTROM = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
Frames = list[torch.Tensor]


def record_path(state: openmm.State, topology: app.Topology, model: str, steps: int) -> tuple[Frames, torch.Tensor]:
    """Positions (N, 3) [Å] at each step of Langevin dynamics from the state, and the cell (3, 3) [Å]."""
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(create_system(topology, ModelSettings(model, device="cpu")), integrator)
    context.setPeriodicBoxVectors(*state.getPeriodicBoxVectors())
    context.setPositions(state.getPositions())
    context.setVelocities(state.getVelocities())
    frames = []
    for _ in range(steps):
        integrator.step(1)
        moved = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        frames.append(torch.tensor(np.array(moved)))
    cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
    return frames, torch.tensor(np.array(cell))


def time_path(frames: Frames, work: Callable[[torch.Tensor], object]) -> float:
    """Mean CPU time of the work on a frame [ms], all frames in their order, after one frame of warm-up."""
    work(frames[0])
    began = time.thread_time()
    for frame in frames:
        work(frame)
    return 1000 * (time.thread_time() - began) / len(frames)


def measure(frames: Frames, cell: torch.Tensor, topology: app.Topology, model: str) -> dict[str, object]:
    """Graph times [ms] fresh and by skin, network time [ms]."""
    potential = load_model(model, device="cpu")
    cutoff, cap = potential.record.architecture.cutoff_angstrom, potential.record.max_neighbors
    composition = potential.compose([atom.element.atomic_number for atom in topology.atoms()])
    fresh = time_path(frames, lambda frame: find_edges(frame, cell, cutoff, cap))
    step = time_path(frames[:3], lambda frame: potential.evaluate(composition, frame, cell))
    rows = {}
    for skin in SKINS_ANGSTROM:
        edges = VerletList(cutoff, cap, skin)
        rows[str(skin)] = {
            "graph_ms": time_path(frames, lambda frame, edges=edges: edges.find_edges(frame, cell)),
            "searches": edges.searches,
        }
    return {
        "atoms": len(frames[0]),
        "frames": len(frames),
        "fresh_ms": fresh,
        "network_ms": step - fresh,
        "skins": rows,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("topology", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    topology = app.PDBFile(str(arguments.topology)).topology
    state = openmm.XmlSerializer.deserialize(arguments.state.read_text())
    frames, cell = record_path(state, topology, arguments.model, arguments.steps)
    result = measure(frames, cell, topology, arguments.model)
    fresh, network = result["fresh_ms"], result["network_ms"]
    print(f"{arguments.model}, {result['atoms']} atoms, {result['frames']} steps of 0.5 fs; network {network:.1f} ms")
    print(f"  no skin    graph {fresh:7.2f} ms  {100 * fresh / (fresh + network):5.2f} % of a step")
    for skin, row in result["skins"].items():
        share = 100 * row["graph_ms"] / (row["graph_ms"] + network)
        print(
            f"  {skin:>4} Å     graph {row['graph_ms']:7.2f} ms  {share:5.2f} % of a step  {row['searches']} searches"
        )
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
            "model": arguments.model,
        }
        arguments.to.write_text(json.dumps({**about, **result}, indent=1))
