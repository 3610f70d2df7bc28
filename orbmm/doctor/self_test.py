"""Compute two water molecules in an OpenMM Context, and compare energy and forces with those of the model itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openmm
from openmm import app, unit

from orbmm.doctor.installation import Finding, State
from orbmm.errors import OrbmmError
from orbmm.forces.attach import create_system
from orbmm.forces.kinds import find_platform_fault, list_force_kinds
from orbmm.model.load import load_model
from orbmm.settings import ModelSettings
from orbmm.units import EV_PER_KJ_PER_MOL, KJ_PER_MOL_NM_PER_EV_ANGSTROM, NM_PER_ANGSTROM

# A hydrogen-bonded dimer that lies across a face of its periodic box [Å].
DIMER_ANGSTROM = np.array(
    [
        [0.20, 0.10, 0.00],
        [-0.38, -0.66, 0.05],
        [1.10, -0.22, -0.04],
        [2.98, -0.05, 0.12],
        [3.35, 0.45, 0.86],
        [3.32, 0.41, -0.65],
    ]
)
EDGE_ANGSTROM = 12.0
PRECISION = "float64"
# Platforms in single precision round coordinates to about 1e-7 nm, hence forces to about 1e-2 meV/Å.
TOLERANCE_MEV_PER_ANGSTROM = 0.1
TOLERANCE_MEV = 0.1


@dataclass(frozen=True)
class Labels:
    """The energy [eV] and forces (N, 3) [eV/Å] of the dimer."""

    energy_ev: float
    forces: np.ndarray


def try_force(kind: str, platform_name: str) -> Finding:
    """Compute the dimer with the embedded default model through a force kind on an OpenMM platform.

    A force that cannot run is LIMITED, because another may run; one that computes wrong numbers is BROKEN.
    """
    subject = f"{kind} on {platform_name}"
    fault = find_platform_fault(platform_name, kind)
    if fault is not None:
        return Finding(subject, State.LIMITED, fault)
    started = time.perf_counter()
    try:
        energy_error, force_error = _compare_with_model(kind, platform_name)
    except (OrbmmError, openmm.OpenMMException) as error:
        return Finding(subject, State.LIMITED, str(error))
    seconds = time.perf_counter() - started
    seen = f"energy off by {energy_error:.1e} meV, forces by {force_error:.1e} meV/Å, {seconds:.1f} s"
    good = energy_error <= TOLERANCE_MEV and force_error <= TOLERANCE_MEV_PER_ANGSTROM  # False for NaN
    return Finding(subject, State.GOOD if good else State.BROKEN, seen)


def _compare_with_model(kind: str, platform_name: str) -> tuple[float, float]:
    """Return the largest differences between Context and model: energy [meV] and force components [meV/Å]."""
    computed, expected = compute_dimer(kind, platform_name), predict_dimer()
    energy_error = abs(computed.energy_ev - expected.energy_ev)
    return 1000 * energy_error, 1000 * float(np.abs(computed.forces - expected.forces).max())


def compute_dimer(kind: str, platform_name: str) -> Labels:
    """Return energy and forces of the dimer from an OpenMM Context."""
    system = create_system(build_dimer(), ModelSettings(precision=PRECISION, force=kind))
    platform = openmm.Platform.getPlatformByName(platform_name)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(DIMER_ANGSTROM * NM_PER_ANGSTROM)
    state = context.getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return Labels(energy * EV_PER_KJ_PER_MOL, forces / KJ_PER_MOL_NM_PER_EV_ANGSTROM)


def predict_dimer() -> Labels:
    """Return energy and forces of the dimer from the model itself."""
    model = load_model(ModelSettings().name, precision=PRECISION)
    numbers = [atom.element.atomic_number for atom in build_dimer().atoms()]
    prediction = model.predict(numbers, DIMER_ANGSTROM, EDGE_ANGSTROM * np.eye(3))
    return Labels(prediction.energy, prediction.forces)


def build_dimer() -> app.Topology:
    """Return the topology of two water molecules in a cube."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(2):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    topology.setPeriodicBoxVectors(np.eye(3) * EDGE_ANGSTROM * NM_PER_ANGSTROM * unit.nanometer)
    return topology


def check_forces(platforms: Sequence[str]) -> list[Finding]:
    """Run the self-test of each force kind on each of these OpenMM platforms, or report why the kind cannot be used."""
    findings = []
    for kind in list_force_kinds():
        if kind.available:
            findings += [try_force(kind.name, platform) for platform in platforms]
        else:
            findings.append(Finding(kind.name, State.LIMITED, kind.reason))
    if not any(finding.state is State.GOOD for finding in findings):
        advice = 'pip install ".[newest]" in a clone of orbmm'
        findings.append(Finding("forces", State.BROKEN, "none computes: no simulation is possible", advice))
    return findings
