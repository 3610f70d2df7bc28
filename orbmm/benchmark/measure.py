"""Make one measurement in a separate process: `python -m orbmm.benchmark.measure JOB.json FOLDER`."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openmm
import torch
from openmm import app, unit
from safetensors.torch import save_file
from torch.profiler import ProfilerActivity, profile

from orbmm.benchmark.cases import PROFILED_STEPS, Answer, Atoms, Job, load_atoms, read_job
from orbmm.benchmark.machine import read_peak_memory_mb
from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.errors import OrbmmError
from orbmm.forces.attach import create_system
from orbmm.graph.edges import find_edges
from orbmm.model.inference.free_memory import limit_to_free_memory
from orbmm.model.load import load_model, make_network
from orbmm.model.potential import Potential
from orbmm.model.precision import find_device
from orbmm.settings.model import ModelSettings
from orbmm.simulation.system.platform import create_context

SEED = 1
TIMESTEP_FS = 0.5
TEMPERATURE_KELVIN = 300.0
FRICTION_PER_PS = 1.0
SECONDS_PER_DAY = 86_400
FS_PER_NS = 1e6


def measure(job: Job, folder: Path) -> Answer:
    """Measure evaluations with and without the graph, OpenMM steps and peak memory; write the forces to forces.npy."""
    torch.set_num_threads(job.threads)
    atoms = load_atoms(Path(job.atoms))
    weights = find_weights(job, folder)
    potential = load_model(job.model, weights, job.device, job.precision, job.execution)
    answer = _time_evaluations(potential, atoms, job, folder)
    device = potential.device
    del potential  # with the memory that it holds, as far as recordings go
    if job.force:
        answer |= time_steps(atoms, job, weights)
    return {**read_peak_memory_mb(device), **answer}  # what the evaluations took goes before


def find_weights(job: Job, folder: Path) -> Path | None:
    """Return the weights file of a job; random weights are written to the folder."""
    if job.weights != "random":
        return Path(job.weights) if job.weights else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        tensors = make_network(find_record(job.model)).state_dict()
    path = folder / "random.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _time_evaluations(potential: Potential, atoms: Atoms, job: Job, folder: Path) -> Answer:
    """Measure the median seconds of the graph, the network and both; the first evaluation is timed separately."""
    record = potential.record
    charge = (0, 1) if record.takes_charge else (None, None)
    composition = potential.compose(atoms.atomic_numbers, *charge)
    positions = torch.tensor(atoms.positions, device=potential.device)
    cell = None if atoms.cell is None else torch.tensor(atoms.cell, device=potential.device)
    cutoff, cap = record.architecture.cutoff_angstrom, record.max_neighbors
    edges = find_edges(positions, cell, cutoff, cap)
    atom_graph = potential.make_graph(composition, positions, cell, edges)

    def run_network() -> None:
        potential.run(atom_graph)

    started = time.perf_counter()
    prediction = potential.evaluate(composition, positions, cell)
    first_s = time.perf_counter() - started
    if prediction.forces is not None:
        np.save(folder / "forces.npy", prediction.forces.double().cpu().numpy())
    found = {"edges": len(edges), "energy_ev": None if prediction.energy is None else float(prediction.energy)}
    if not job.evaluations:
        return found
    stopwatch = Stopwatch(potential.device, job.evaluations)
    graph = stopwatch.take(lambda: find_edges(positions, cell, cutoff, cap))
    whole = stopwatch.take(lambda: potential.evaluate(composition, positions, cell))
    network = stopwatch.take(run_network)
    return found | {
        "evaluations": job.evaluations,
        "first_evaluation_s": first_s,
        "graph_s": graph.wall_s,
        "evaluation_s": whole.wall_s,
        "evaluation_range_s": whole.range_s,
        "evaluation_cpu_s": whole.cpu_s,
        "network_s": network.wall_s,
        **read_peak_memory_mb(potential.device),  # before the profiler adds its own memory
        "stages": measure_stages(lambda: potential.evaluate(composition, positions, cell), potential.device),
    }


class Times(NamedTuple):
    """The medians of wall time and of CPU time, and the range of wall times [s]."""

    wall_s: float
    cpu_s: float
    range_s: tuple[float, float]


class Stopwatch:
    """A stopwatch for calls on a device; it waits for the end of each call and returns the median."""

    def __init__(self, device: torch.device, calls: int) -> None:
        self._device, self._calls = device, calls

    def take(self, work: Callable[[], object]) -> Times:
        """Measure the duration of the work; CPU time, summed over threads, hardly depends on other programs."""
        walls, cpus = zip(*(self._run(work) for _ in range(self._calls)), strict=True)
        return Times(statistics.median(walls), statistics.median(cpus), (min(walls), max(walls)))

    def _run(self, work: Callable[[], object]) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - wall, time.process_time() - cpu


def time_steps(atoms: Atoms, job: Job, weights: Path | None) -> Answer:
    """Measure the mean seconds of a Langevin step of OpenMM after one step of warm-up, and the shares of its stages.

    Neighbour searches are included.
    """
    system = create_system(make_topology(atoms), _choose_settings(job, weights))
    context = create_context(system, _make_integrator)
    context.setPositions(atoms.positions * unit.angstrom)
    context.setVelocitiesToTemperature(TEMPERATURE_KELVIN, SEED)

    def run_steps(count: int) -> None:
        context.getIntegrator().step(count)
        context.getState(energy=True)  # waits for the platform

    run_steps(1)
    began = time.perf_counter()
    run_steps(job.steps)
    seconds = (time.perf_counter() - began) / job.steps
    profiled = min(job.steps, PROFILED_STEPS)
    return {
        "force": system.getForce(0).getName(),
        "platform": context.getPlatform().getName(),
        "steps": job.steps,
        "step_s": seconds,
        "ns_per_day": SECONDS_PER_DAY / seconds * TIMESTEP_FS / FS_PER_NS,
        "step_stages": measure_step_stages(lambda: run_steps(profiled), find_device(job.device)),
    }


def _choose_settings(job: Job, weights: Path | None) -> ModelSettings:
    """Return the [model] table of a run with the settings of the job."""
    charge, multiplicity = (0, 1) if resolve_record(job.model).takes_charge else (None, None)
    return ModelSettings(
        job.model,
        weights,
        job.precision,
        job.device,
        job.force,
        charge=charge,
        multiplicity=multiplicity,
        tune="skip",
        **dataclasses.asdict(job.execution),
    )


def _make_integrator() -> openmm.Integrator:
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE_KELVIN, FRICTION_PER_PS, TIMESTEP_FS / 1000)
    integrator.setRandomNumberSeed(SEED)
    return integrator


def make_topology(atoms: Atoms) -> app.Topology:
    """Return a topology with elements and box; the network needs no bonds."""
    topology = app.Topology()
    residue = topology.addResidue("ALL", topology.addChain())
    for number in atoms.atomic_numbers.tolist():
        element = app.Element.getByAtomicNumber(number)
        topology.addAtom(element.symbol, element, residue)
    if atoms.cell is not None:
        topology.setPeriodicBoxVectors(atoms.cell * unit.angstrom)
    return topology


def answer_job(path: Path, folder: Path) -> Answer:
    """Return the answer to the job in a file; anything that this machine cannot do becomes a reason to skip the job."""
    job = read_job(path)
    try:
        if find_device(job.device).type != "cuda":  # whose driver reserves far more addresses than it takes memory
            limit_to_free_memory()
        return measure(job, folder)
    except (OrbmmError, openmm.OpenMMException) as error:
        return {"skipped": str(error)}
    except MemoryError:
        return {"skipped": "not enough memory"}
    except RuntimeError as error:
        if "allocate" not in str(error) and "out of memory" not in str(error):
            raise
        return {"skipped": f"not enough memory: {str(error).splitlines()[0][-120:]}"}


PREFIX = "orbmm: "
"""Prefix of the names that the parts have in torch.profiler.record_function."""

GRAPH, REST = "graph", "transfer and integration"
GRAPH_AND_REST = f"{GRAPH} with {REST}"
"""Name of the rest of a step if no part of it is named "graph"."""


def measure_stages(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Return the share of each named part in the time of all parts, in the order of first occurrence.

    The result is empty if no part is named. On a GPU the time of its kernels counts, on a CPU that of the processor. A
    compiled or recorded network is one part.
    """
    spent, _ = _time_parts(work, device)
    whole = sum(spent.values())
    return {name: part / whole for name, part in spent.items()} if whole else {}


def measure_step_stages(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Return the share of each named part, and of the rest, in the time of the work; {} if no part is named.

    work: steps of OpenMM, and a wait for the last of them
    The rest is the work of OpenMM itself and the transfer of coordinates and forces, and the graph if it is not named.
    On a GPU it is all time in which no kernel of a named part runs. The profiler makes the shares of a small network
    and of the rest somewhat larger.
    """
    spent, whole = _time_parts(work, device)
    if not spent:
        return {}
    rest = REST if GRAPH in spent else GRAPH_AND_REST
    return {name: part / whole for name, part in spent.items()} | {rest: 1.0 - sum(spent.values()) / whole}


def _time_parts(work: Callable[[], object], device: torch.device) -> tuple[dict[str, float], float]:
    """Return the seconds of each named part, in the order of first occurrence, and of the whole."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        work()
        whole = time.perf_counter() - began
    spent: dict[str, float] = {}
    events = [event for event in profiler.events() if event.name.startswith(PREFIX)]
    for event in sorted(events, key=lambda event: event.time_range.start):
        name = event.name.removeprefix(PREFIX)
        microseconds = event.device_time_total if device.type == "cuda" else event.cpu_time_total
        spent[name] = spent.get(name, 0.0) + microseconds / 1e6
    return spent, whole


if __name__ == "__main__":
    _folder = Path(sys.argv[2])
    (_folder / "answer.json").write_text(json.dumps(answer_job(Path(sys.argv[1]), _folder)), encoding="utf-8")
