"""Prove official weights: they must reproduce published values, and be consistent where nothing was published.

Everything is computed on the CPU in float64, so that what differs from a published value is only the rounding of those
who computed it in float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.proof import Check, WeightsProof
from orbmm.checkpoints.published import (
    ChargedStructure,
    PlausibleEnergy,
    PublishedValue,
    TestStructure,
    charge_neutral,
    find_plausible_energy,
    find_structure,
    hash_published_values,
    list_published_values,
)
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.network.orb import Orb
from orbmm.model.potential import NumpyPrediction, Potential
from orbmm.model.precision import find_precision

PUBLISHED_TOLERANCES = {"energy": 1e-4, "force": 1e-5, "stress": 1e-4}
"""Of the test that published the values [eV, eV/Å, eV/Å^3]; rounding in float32 is added to them."""

ENERGY_ROUNDING, FORCE_ROUNDING = 3e-5, 3e-5
"""Of the network in float32 [eV per atom, eV/Å]. In random weights of full size it was 0.3e-5 and at most 3e-5 for the
structures of published_values.toml; the energies of trained weights are allowed ten times as much."""

STEP_ANGSTROM = 1e-4
"""Of the central differences. In float64 an energy of 2,000 eV then gives a force to 5e-9 eV/Å."""

DIRECTIONS = 3
"""Random displacements of all atoms along which forces are compared with central differences."""

GRADIENT_TOLERANCE = 1e-5
"""Of central differences, relative to the largest force or 1 eV/Å: their error was at most 1e-7 in random weights."""

NET_TOLERANCE = 1e-8
"""Of net force and torque, relative to the largest force or 1 eV/Å: sums of a few float64 numbers give 1e-14."""

CPU = torch.device("cpu")


@torch.inference_mode(False)
def prove_weights(
    record: CheckpointRecord, network: Orb, sha256: str, structures: Mapping[str, TestStructure] | None = None
) -> WeightsProof:
    """Return all checks of a network with official weights, passed or not. It is copied, not changed.

    structures: those that belong to the coordinates of files, by name; values for others are left out
    """
    began = time.process_time()
    potential = make_exact_potential(record, network, sha256)
    checks = [Check("tensors: names, shapes, finite", True, remark=f"{len(network.state_dict())} tensors")]
    plausible = find_plausible_energy(record)
    for system in dict.fromkeys((plausible.system, charge_neutral(record, find_structure("water")))):
        checks.extend(_check_consistency(potential, system))
    checks.append(_check_plausible(potential, plausible))
    for value in list_published_values(record):
        checks.extend(_check_published(potential, value, structures or {}))
    return WeightsProof(record.name, sha256, hash_published_values(), time.process_time() - began, tuple(checks))


def make_exact_potential(record: CheckpointRecord, network: Orb, sha256: str) -> Potential:
    """Return a potential with a copy of a network, on the CPU in float64."""
    precision = find_precision("float64")
    exact = deepcopy(network).to(CPU, precision.dtype)
    return Potential(record, exact, sha256, CPU, precision, engine=Engine(exact, precision, MemoryUse(), CPU))


def _predict(potential: Potential, system: ChargedStructure) -> NumpyPrediction:
    found = system.structure
    cell = None if found.cell is None else np.array(found.cell)
    positions = np.array(found.positions)
    return potential.predict(found.atomic_numbers, positions, cell, system.charge, system.multiplicity)


def _check_consistency(potential: Potential, system: ChargedStructure) -> Iterator[Check]:
    """Yield the checks that need no published value: forces as the gradient, or net force and torque."""
    structure, forces = system.structure, _predict(potential, system).forces
    scale = max(1.0, float(np.abs(forces).max()))
    if potential.record.kind == "conservative":
        difference, allowed = _compare_with_differences(potential, system, forces), GRADIENT_TOLERANCE * scale
        yield Check(f"{system}: forces as the gradient, eV/Å", difference <= allowed, difference, allowed)
        return
    net, allowed = float(np.abs(forces.sum(axis=0)).max()), NET_TOLERANCE * scale
    yield Check(f"{system}: net force, eV/Å", net <= allowed, net, allowed)
    if structure.cell is None:
        arms = np.array(structure.positions) - np.mean(structure.positions, axis=0)
        torque = float(np.abs(np.cross(arms, forces).sum(axis=0)).max())
        yield Check(f"{system}: net torque, eV", torque <= allowed, torque, allowed)


def _compare_with_differences(potential: Potential, system: ChargedStructure, forces: np.ndarray) -> float:
    """Return the largest difference [eV/Å] between forces and central differences of the energy."""
    structure = system.structure
    composition = potential.compose(structure.atomic_numbers, system.charge, system.multiplicity)
    positions = torch.tensor(structure.positions, dtype=torch.float64)
    cell = None if structure.cell is None else torch.tensor(structure.cell, dtype=torch.float64)

    def compute_energy(displacement: Tensor) -> float:
        energy = potential.evaluate(composition, positions + displacement, cell, {"energy"}).energy
        return math.nan if energy is None else float(energy)

    random = torch.Generator().manual_seed(1)
    differences = []
    for _ in range(DIRECTIONS):
        direction = torch.randn(positions.shape, generator=random, dtype=torch.float64)
        step = STEP_ANGSTROM * direction / direction.norm()
        force = (compute_energy(-step) - compute_energy(step)) / (2 * STEP_ANGSTROM)
        expected = float((torch.tensor(forces) * direction).sum() / direction.norm())
        differences.append(abs(force - expected))
    return float(np.max(differences))  # NaN if one is


def _check_plausible(potential: Potential, limits: PlausibleEnergy) -> Check:
    energy = _predict(potential, limits.system).energy / limits.system.structure.atoms
    passed = limits.lowest_ev_per_atom <= energy <= limits.highest_ev_per_atom
    expected = f"expected {limits.lowest_ev_per_atom} to {limits.highest_ev_per_atom} ({limits.source})"
    return Check(f"{limits.system}: plausible energy", passed, remark=f"{energy:.4f} eV/atom, {expected}")


def _check_published(
    potential: Potential, value: PublishedValue, given: Mapping[str, TestStructure]
) -> Iterator[Check]:
    """Yield the comparisons with one published value, or one row that names the file that they need."""
    structure = given.get(value.system.structure.name, value.system.structure)
    what = f"published, {value.system}: "
    if not structure.positions:
        remark = f"needs {structure.file} of {structure.found_in}"
        yield Check(f"{what}not compared", None, remark=remark, published=True)
        return
    got = _predict(potential, replace(value.system, structure=structure))
    numbers = f"{got.energy:.5f} eV, published {value.energy_ev:.5f} eV ({value.source})"
    allowed = allow_energy(value.energy_ev, structure.atoms)
    yield _compare(f"{what}energy, eV", got.energy - value.energy_ev, allowed, numbers)
    if value.forces:
        difference = got.forces[: len(value.forces)] - np.array(value.forces)
        yield _compare(f"{what}forces, eV/Å", difference, PUBLISHED_TOLERANCES["force"] + FORCE_ROUNDING)
    if value.stress is not None and got.stress is not None:
        yield _compare(f"{what}stress, eV/Å^3", got.stress - np.array(value.stress), PUBLISHED_TOLERANCES["stress"])
    elif value.stress is not None:
        yield Check(f"{what}stress not compared", None, remark="the file has no stress head", published=True)


def allow_energy(energy: float, atoms: int) -> float:
    """Return the largest difference [eV] from an energy that was computed in float32.

    It is the published tolerance, the rounding of the network, and that of a sum of one reference energy for each atom,
    which grows as sqrt(N) steps of float32.
    """
    step = float(np.spacing(np.float32(abs(energy))))
    return PUBLISHED_TOLERANCES["energy"] + ENERGY_ROUNDING * atoms + math.sqrt(atoms) * step


def _compare(what: str, difference: float | np.ndarray, allowed: float, remark: str = "") -> Check:
    largest = float(np.abs(difference).max())
    return Check(what, largest <= allowed, largest, allowed, remark, published=True)
