"""Repeat short minimisations and runs with two networks on one System, and compare all ends to the last bit.

    python scripts/checks/soak_two_networks.py --force PythonForce --minimisations 1000 --runs 500 --load 2 \\
        --log soak.jsonl

The System has the forces of a conservative network in group 0 and of a direct network in group 1, both embedded. Two
starts take turns, so that nothing that an evaluator keeps fits the next repetition. Repetitions go five ways: in a new
Context, in one Context that is kept, with the networks loaded anew, in threads with a Context each, and in threads
while the networks are dropped and loaded. The process asks torch for matrix products in bfloat16, so each prediction
has to set the precision of the process and restore it. `--load` processes keep the cores busy meanwhile.

With `--split` the forces are those of multiple time steps: the direct network in group 0, and in group 1 the difference
to the conservative one. Both networks then remember their last answer.

Every end (positions, velocities, energy of each group) and every evaluation (coordinates in; energy and forces out) is
compared with the first one of the same start, also with those of an earlier process that wrote the same log. One
thread of torch and one of OpenMM's CPU platform: the rounding of a sum depends on how it is divided among threads.
Prints JSON; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before torch is loaded

import numpy as np
import openmm
import torch
from openmm import app, unit

from orbmm.forces.attach import attach_force
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.forces.versions import read_versions
from orbmm.settings.model import ModelSettings

NETWORKS = ("orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb")  # in force groups 0 and 1
ITERATIONS = 3
TOLERANCE = 10.0  # kJ/mol/nm, as OpenMM's default
STEPS, TIMESTEP_PS = 10, 0.0005
WATERS, SPACING_NM, SHAKE_NM, SPEED_NM_PER_PS = 4, 0.31, 0.005, 0.5
WATER_NM = np.array([[0.0, 0.0, 0.0], [0.0957, 0.0, 0.0], [-0.024, 0.0927, 0.0]])
WAYS = ("fresh", "kept", "reloaded", "threads", "evicting")
WORKS = ("minimisation", "run")
ROWS_PER_LINE = 20  # repetitions between two lines of the log


@dataclass(frozen=True)
class Box:
    """A periodic box and its starts. positions, velocities: one (N, 3) array [nm], [nm/ps] for each start."""

    topology: app.Topology
    positions: list[np.ndarray]
    velocities: list[np.ndarray]


def make_waters() -> Box:
    """Return a cube of a few waters."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(WATERS):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    topology.setPeriodicBoxVectors(np.eye(3) * 2 * SPACING_NM * unit.nanometer)
    sites = [np.array([i % 2, i // 2 % 2, i // 4]) * SPACING_NM for i in range(WATERS)]
    return _make_starts(topology, np.concatenate([site + WATER_NM for site in sites]))


def read_box(path: Path) -> Box:
    """Return the box of a PDB file."""
    file = app.PDBFile(str(path))
    return _make_starts(file.topology, file.getPositions(asNumpy=True).value_in_unit(unit.nanometer))


def _make_starts(topology: app.Topology, positions: np.ndarray) -> Box:
    """Return the positions and their mirror image as starts, shaken: close pairs of one are not close in the other."""
    chance = np.random.default_rng(1)
    starts = [sign * positions + chance.normal(0.0, SHAKE_NM, positions.shape) for sign in (1.0, -1.0)]
    return Box(topology, starts, [chance.normal(0.0, SPEED_NM_PER_PS, positions.shape) for _ in starts])


def build_system(box: Box, force: str, split: bool = False) -> openmm.System:
    """Return a System with one force of each network, in force groups 0 and 1, or split for multiple time steps."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*box.topology.getPeriodicBoxVectors())
    for atom in box.topology.atoms():
        system.addParticle(atom.element.mass)
    if split:
        slow, fast = NETWORKS
        attach_force(system, box.topology, ModelSettings(name=slow, fast=fast, force=force, device="cpu"))
        return system
    for group, name in enumerate(NETWORKS):
        attach_force(system, box.topology, ModelSettings(name=name, force=force, device="cpu"), force_group=group)
    return system


def make_context(system: openmm.System, platform: str) -> openmm.Context:
    """Return a Context that computes with one thread."""
    properties = {"Threads": "1"} if platform == "CPU" else {}
    integrator = openmm.VerletIntegrator(TIMESTEP_PS)
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)


def repeat_once(context: openmm.Context, work: str, box: Box, start: int) -> str:
    """Minimise or run from a start, and return the end: the energy of each group [kJ/mol] and a hash of everything."""
    context.setPositions(box.positions[start])
    context.setVelocities(box.velocities[start])
    if work == "minimisation":
        openmm.LocalEnergyMinimizer.minimize(context, TOLERANCE, ITERATIONS)
    else:
        context.getIntegrator().step(STEPS)
    state = context.getState(positions=True, velocities=True, forces=True)
    arrays = [get(asNumpy=True)._value for get in (state.getPositions, state.getVelocities, state.getForces)]
    energies = [
        context.getState(energy=True, groups={group}).getPotentialEnergy()._value for group in range(len(NETWORKS))
    ]
    return " + ".join(map(repr, energies)) + " kJ/mol, " + _hash(*arrays)


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


@dataclass
class Witness:
    """What was first seen of each start and of each evaluation, and everything that differed from it afterwards.

    ends: by work and start; answers: by network and coordinates
    """

    ends: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    evaluations: int = 0
    differences: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def compare_end(self, key: str, end: str, where: str) -> None:
        """Keep the first end of a key; report any other end."""
        self._compare(self.ends, key, end, f"{where}, {key}: the end")

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Compare all evaluations in a `with` block: the same coordinates must get the same answer."""
        evaluate = Evaluator.evaluate

        def compare(evaluator: Evaluator, positions: torch.Tensor, box: torch.Tensor | None) -> Any:
            asked = _hash(positions.detach().numpy())
            energy, forces = evaluate(evaluator, positions, box)
            name = evaluator.potential.record.name
            answer = f"{energy.item()!r} kJ/mol, {_hash(forces.detach().numpy())}"
            self.evaluations += 1
            self._compare(self.answers, f"{name} at {asked}", answer, f"an evaluation of {name} at {asked}")
            return energy, forces

        with patch.object(Evaluator, "evaluate", compare):  # which leaves nothing behind on the class afterwards
            yield

    def _compare(self, known: dict[str, str], key: str, value: str, subject: str) -> None:
        with self._lock:
            if known.setdefault(key, value) != value:
                self.differences.append(f"{subject} is {value}, and was {known[key]}")


@dataclass
class Soak:
    """One soak: its box and System, what was seen, and how many repetitions each work and way has had."""

    box: Box
    system: openmm.System
    platform: str
    threads: int
    witness: Witness = field(default_factory=Witness)
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept = make_context(self.system, self.platform)
        self._own = threading.local()

    def repeat(self, work: str, way: str, count: int) -> None:
        """Make this many repetitions of a work in one way."""
        workers = self.threads if way in ("threads", "evicting") else 1
        if workers == 1:
            for number in range(count):
                self._repeat_one(work, way, number)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda number: self._repeat_one(work, way, number), range(count)))
        key = f"{work}, {way}"
        self.done[key] = self.done.get(key, 0) + count

    def _repeat_one(self, work: str, way: str, number: int) -> None:
        if way == "reloaded" or (way == "evicting" and number % 4 == 0):
            forget_evaluators()
        start = number % len(self.box.positions)
        end = repeat_once(self._choose_context(way), work, self.box, start)
        self.witness.compare_end(f"{work} from start {start}", end, way)

    def _choose_context(self, way: str) -> openmm.Context:
        if way == "kept":
            return self._kept
        if way != "threads":
            return make_context(self.system, self.platform)
        if not hasattr(self._own, "context"):
            self._own.context = make_context(self.system, self.platform)
        return self._own.context


def keep_busy() -> None:
    """Multiply matrices and take and free memory, until the process is ended; the soak itself goes first."""
    os.nice(5)
    while True:
        matrix = np.ones((1_000, 1_000))
        (matrix @ matrix).sum()


@contextmanager
def under_load(processes: int) -> Iterator[None]:
    """Keep this many processes busy in a `with` block."""
    spawn = multiprocessing.get_context("spawn")
    busy = [spawn.Process(target=keep_busy, daemon=True) for _ in range(processes)]
    for each in busy:
        each.start()
    try:
        yield
    finally:
        for each in busy:
            each.terminate()
            each.join()


@contextmanager
def coarse_products() -> Iterator[None]:
    """Let torch round matrix products to bfloat16 in a `with` block, wherever a prediction does not forbid it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def run_soak(soak: Soak, wanted: dict[str, int], tell: Callable[[Soak], None] = lambda _: None) -> list[str]:
    """Repeat each work in each way until it was done as often as wanted, and return all differences.

    wanted: repetitions of each work, over all ways; tell: called now and then
    """
    with soak.witness.watch(), coarse_products():
        for work, total in wanted.items():
            for start in range(len(soak.box.positions)):  # undisturbed
                end = repeat_once(make_context(soak.system, soak.platform), work, soak.box, start)
                soak.witness.compare_end(f"{work} from start {start}", end, "alone")
            for way in WAYS:
                each = -(-total // len(WAYS))
                while (left := each - soak.done.get(f"{work}, {way}", 0)) > 0:
                    soak.repeat(work, way, min(left, ROWS_PER_LINE))
                    tell(soak)
    return soak.witness.differences


def read_log(path: Path, soak: Soak) -> None:
    """Go on from the last line of a log: its counts, its ends and its differences. Refuse one of another soak."""
    if path.is_file() and (lines := path.read_text(encoding="utf-8").splitlines()):
        last = json.loads(lines[-1])
        if last["starts"] != describe(soak)["starts"]:
            raise SystemExit(f"{path} is the log of a soak from other starts: choose a new file")
        soak.done, soak.witness.ends = last["done"], last["ends"]
        soak.witness.differences, soak.witness.evaluations = last["differences"], last["evaluations"]


def describe(soak: Soak) -> dict[str, Any]:
    """Return what was done and seen so far."""
    seen = soak.witness
    return {
        "starts": _hash(*soak.box.positions, *soak.box.velocities),
        "done": soak.done,
        "evaluations": seen.evaluations,
        "different_coordinates": len(seen.answers),
        "ends": seen.ends,
        "differences": seen.differences,
    }


def main() -> int:
    """Return 0 if all ends and all evaluations were the same to the last bit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", choices=("TorchForce", "PythonForce"), required=True)
    parser.add_argument("--split", action="store_true", help="direct in group 0, the difference in group 1")
    parser.add_argument("--minimisations", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=500, help=f"short runs, of {STEPS} steps")
    parser.add_argument("--threads", type=int, default=2, help="threads with a Context each, in the last two ways")
    parser.add_argument("--load", type=int, default=2, help="processes that keep the cores busy")
    parser.add_argument("--platform", choices=("CPU", "Reference"), default="CPU")
    parser.add_argument("--structure", type=Path, help="a PDB file with a box, in place of a few waters")
    parser.add_argument("--log", type=Path, help="a file to go on from after an interruption")
    arguments = parser.parse_args()
    box = read_box(arguments.structure) if arguments.structure else make_waters()
    own = Soak(box, build_system(box, arguments.force, arguments.split), arguments.platform, arguments.threads)
    if arguments.log:
        read_log(arguments.log, own)

    def tell(soak: Soak) -> None:
        if arguments.log:
            with arguments.log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(describe(soak)) + "\n")

    began = time.monotonic()
    with under_load(arguments.load):
        differences = run_soak(own, {"minimisation": arguments.minimisations, "run": arguments.runs}, tell)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "versions": {name: str(value) for name, value in vars(read_versions()).items()},
        "seconds": round(time.monotonic() - began, 1),
        **describe(own),
    }
    print(json.dumps(report, indent=1))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
