"""What the neighbour graph costs per step, searched afresh and with skins, beside what the network costs.

    python scripts/benchmarks/skin.py --to scripts/benchmarks/results/skin.json

The path is real dynamics of the model named, 0.5 fs a step, by default of capped alanine in water. Freed memory is kept
as in `orbmm run`. Times are CPU time of one thread, which does not change much when other programs share the cores. A
step's share is graph / (graph + network). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from openmm import app, unit
from results_file import describe_run, write_results

from orbmm.forces.attach import create_system
from orbmm.graph.edges import find_edges
from orbmm.graph.verlet import VerletList
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.settings.model import DEFAULT_MODEL, ModelSettings

SYSTEM = Path(__file__).parents[2] / "systems" / "alanine-dipeptide"
SKINS_ANGSTROM = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
NETWORK_FRAMES = 10
Frames = list[torch.Tensor]
Row = dict[str, Any]


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
    """Mean CPU time of the work on a frame [ms], all frames in their order."""
    began = time.thread_time()
    for frame in frames:
        work(frame)
    return 1000 * (time.thread_time() - began) / len(frames)


def time_network(potential: Potential, topology: app.Topology, frames: Frames, cell: torch.Tensor) -> float:
    """Mean CPU time of the network on a graph that is at hand [ms], after one frame for warm-up."""
    composition = potential.compose([atom.element.atomic_number for atom in topology.atoms()])
    graphs = [potential.make_graph(composition, frame, cell, potential.find_edges(frame, cell)) for frame in frames]
    potential.run(graphs[0])
    began = time.thread_time()
    for graph in graphs:
        potential.run(graph)
    return 1000 * (time.thread_time() - began) / len(graphs)


def measure_skins(potential: Potential, frames: Frames, cell: torch.Tensor, network_ms: float) -> Iterator[Row]:
    """A row without a skin, then one for each skin: mean CPU time of the graph [ms], its share, searches on the way."""
    cutoff, cap = potential.record.architecture.cutoff_angstrom, potential.record.max_neighbors
    find_edges(frames[0], cell, cutoff, cap)  # warm-up
    graph_ms = time_path(frames, lambda frame: find_edges(frame, cell, cutoff, cap))
    yield make_row(0.0, graph_ms, network_ms, searches=len(frames))
    for skin in SKINS_ANGSTROM:
        VerletList(cutoff, cap, skin).find_edges(frames[0], cell)  # warm-up of its own, so that the first search counts
        edges = VerletList(cutoff, cap, skin)
        graph_ms = time_path(frames, lambda frame, edges=edges: edges.find_edges(frame, cell))
        yield make_row(skin, graph_ms, network_ms, edges.searches)


def make_row(skin: float, graph_ms: float, network_ms: float, searches: int) -> Row:
    """What the JSON file holds of a skin."""
    share = graph_ms / (graph_ms + network_ms)
    return {"skin_angstrom": skin, "graph_ms": graph_ms, "share": share, "searches": searches}


def format_row(row: Row) -> str:
    """One line of the table."""
    skin = row["skin_angstrom"] or "none"
    return f"| {skin} | {row['graph_ms']:.2f} | {row['share']:.1%} | {row['searches']} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=SYSTEM / "equilibrated.xml", help="where the path begins")
    parser.add_argument("--topology", type=Path, default=SYSTEM / "alanine-dipeptide.pdb")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    about = describe_run(threads=1)
    topology = app.PDBFile(str(arguments.topology)).topology
    state = openmm.XmlSerializer.deserialize(arguments.state.read_text())
    frames, cell = record_path(state, topology, arguments.model, arguments.steps)
    potential = load_model(arguments.model, device="cpu")
    network_ms = time_network(potential, topology, frames[:NETWORK_FRAMES], cell)
    print(f"{arguments.model}, {len(frames[0])} atoms, {len(frames)} steps of 0.5 fs; network {network_ms:.1f} ms")
    print(f"| skin [Å] | graph [ms] | share of a step | searches in {len(frames)} steps |\n|---|---|---|---|")
    rows = []
    for row in measure_skins(potential, frames, cell, network_ms):
        rows.append(row)
        print(format_row(row), flush=True)
    path = {
        "model": arguments.model,
        "weights_sha256": potential.weights_sha256,
        "structure": arguments.topology.name,
        "atoms": len(frames[0]),
        "steps": len(frames),
    }
    write_results(arguments.to, about, {**path, "network_ms": network_ms, "rows": rows})
