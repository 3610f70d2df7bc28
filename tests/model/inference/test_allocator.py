"""A network on a CPU does not ask Linux for the same pages at each step, whatever the way to use it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from orbmm.model.inference.allocator import count_kept_bytes, keep_freed_memory

# Six steps or predictions of 210 atoms; prints the page faults of the last three, for each of them.
STEPS = """
import resource, sys
import numpy as np, openmm, torch
from openmm import app, unit
import orbmm
from orbmm.benchmark.cases import Case, build_atoms
from orbmm.benchmark.measure import make_topology
from orbmm.forces.attach import create_system
from orbmm.model.inference import allocator
from orbmm.settings.model import ModelSettings

way, name = sys.argv[1:]
torch.set_num_threads(1)
atoms = build_atoms(Case("water", water_atoms=210))
model = orbmm.load_model(name, device="cpu")
if way == "load_model":
    step = lambda: model.predict(atoms.atomic_numbers, atoms.positions, atoms.cell)
else:
    settings = ModelSettings(name, device="cpu", force="PythonForce", compile=False)
    system = create_system(make_topology(atoms), settings)
    context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatform("Reference"))
    context.setPositions(atoms.positions * unit.angstrom)
    step = lambda: context.getIntegrator().step(1)
set_at_load = allocator.keep_freed_memory.cache_info().currsize
for turn in range(6):
    if turn == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
print(set_at_load, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 3)
"""
NAME = "orb-mini-conservative-inf-xtb"
FEW_FAULTS = 3000  # a step; 0 to 700 were seen where the heap still grew, and 40,000 without kept memory


def count_page_faults(way: str, variables: dict[str, str]) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    environment |= {"OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", STEPS, way, NAME]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    set_at_load, faults = map(int, done.stdout.split())
    assert not set_at_load, "the process was changed before an evaluation asked for it"
    return faults


needs_glibc = pytest.mark.skipif(not keep_freed_memory(), reason="the C library has no mallopt, or its user chose")


@needs_glibc
@pytest.mark.parametrize("way", ["load_model", "PythonForce"])
def test_a_step_takes_its_memory_from_the_step_before(way: str) -> None:
    assert count_page_faults(way, {}) < FEW_FAULTS


@needs_glibc
@pytest.mark.parametrize(
    "variables",
    [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}],
)
def test_what_the_user_has_set_stays_and_costs_page_faults(variables: dict[str, str]) -> None:
    assert count_page_faults("load_model", variables) > 10 * FEW_FAULTS


@needs_glibc
def test_memory_that_is_kept_is_counted_as_free() -> None:
    array = torch.ones(50_000_000, dtype=torch.uint8)
    used = count_kept_bytes()
    del array
    assert used + 49_000_000 < count_kept_bytes()  # some of it may have been free before
