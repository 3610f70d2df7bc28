"""Measure page faults and CPU time of a step by each way to use a network, each in a process of its own.

    python scripts/benchmarks/doors.py --to scripts/benchmarks/results/doors.json

The ways: a command such as `orbmm run`, a System of createSystem with each kind of force, and load_model. Water of
`orbmm benchmark`, one thread, OpenMM's reference platform. At a page fault Linux fills 4 kB with zeros. A kind of force
that is not installed is skipped with the reason. With --checkout the package of another checkout is measured too.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openmm
import torch
from openmm import unit
from results_file import describe_run, write_results

from orbmm.benchmark.cases import Atoms, build_atoms, choose_cases, read_cases
from orbmm.benchmark.measure import make_topology
from orbmm.errors import OrbmmError
from orbmm.forces.attach import create_system
from orbmm.model.load import load_model
from orbmm.settings.model import ModelSettings

WAYS = ("command", "TorchForce", "PythonForce", "load_model")
WARM_UP_STEPS = 3
Row = dict[str, Any]


def prepare(way: str, model: str, atoms: Atoms) -> Callable[[], object]:
    """Return a function that makes one step, or one prediction, by this way."""
    if way == "load_model":
        potential = load_model(model, device="cpu")
        return lambda: potential.predict(atoms.atomic_numbers, atoms.positions, atoms.cell)
    force = way
    if way == "command":
        start_like_a_command()
        force = "auto"
    system = create_system(make_topology(atoms), ModelSettings(model, device="cpu", force=force, compile=False))
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.0005)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions * unit.angstrom)

    def step() -> None:
        integrator.step(1)
        context.getState(energy=True)

    return step


def start_like_a_command() -> None:
    """Set the memory of this process as the command line does, in this checkout or an older one."""
    try:
        from orbmm.model.inference.allocator import keep_freed_memory
    except ImportError:
        from orbmm.cli.host_memory import keep_freed_memory
    keep_freed_memory()


def measure(way: str, model: str, case: str, steps: int) -> Row:
    """Return page faults and CPU milliseconds of a step in this process, after a warm-up."""
    torch.set_num_threads(1)
    atoms = build_atoms(choose_cases(read_cases(None), [case])[0])
    try:
        step = prepare(way, model, atoms)
    except (OrbmmError, openmm.OpenMMException) as error:
        return {"skipped": str(error).splitlines()[0]}
    for _ in range(WARM_UP_STEPS):
        step()
    before, cpu = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    for _ in range(steps):
        step()
    cpu, after = time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "atoms": len(atoms.atomic_numbers),
        "page_faults": (after.ru_minflt - before.ru_minflt) / steps,
        "cpu_ms": 1000 * cpu / steps,
        "system_ms": 1000 * (after.ru_stime - before.ru_stime) / steps,
        "host_mb": after.ru_maxrss * 1024 / 1e6,
    }


def measure_apart(checkout: Path, way: str, arguments: argparse.Namespace) -> Row:
    """Measure in a process of its own, with one thread and the package of a checkout."""
    command = [sys.executable, __file__, "--only", way, "--steps", str(arguments.steps)]
    command += ["--model", arguments.model, "--case", arguments.case]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def name_commit(checkout: Path) -> str:
    """Return the commit of a checkout, with a plus for changes that are not committed."""
    git = ["git", "-C", str(checkout)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changes = subprocess.run([*git, "status", "--porcelain", "orbmm"], capture_output=True, text=True, check=True)
    return commit.stdout.strip() + "+" * bool(changes.stdout)


def format_row(row: Row) -> str:
    """Return one line of the table."""
    start = f"| {row['commit']} | {row['way']} |"
    if "skipped" in row:
        return f"{start} {row['skipped']} | | |"
    return f"{start} {row['page_faults']:,.0f} | {row['cpu_ms']:.1f} | {row['system_ms']:.1f} | {row['host_mb']:.0f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="orb-mini-conservative-inf-xtb")
    parser.add_argument("--case", default="water-1k", help="a case of `orbmm benchmark`")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--checkout", type=Path, action="append", default=[], help="another checkout; may be repeated")
    parser.add_argument("--way", choices=WAYS, action="append", help="may be repeated; default: all")
    parser.add_argument("--only", choices=WAYS, help="measure one way in this process")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.model, arguments.case, arguments.steps)))
        sys.exit()
    about = describe_run(threads=1)
    print(
        "| commit | way | page faults | CPU [ms] | of it in the kernel [ms] | memory [MB] |\n|---|---|---|---|---|---|"
    )
    rows = []
    for way in arguments.way or WAYS:
        for checkout in (*arguments.checkout, Path(__file__).parents[2]):
            row = measure_apart(checkout, way, arguments)
            rows.append({"commit": name_commit(checkout), "way": way, **row})
            print(format_row(rows[-1]), flush=True)
    write_results(arguments.to, about, {"model": arguments.model, "case": arguments.case, "rows": rows})
