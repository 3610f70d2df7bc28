"""Runs of the embedded networks from the shipped peptide box: no bond breaks, nothing heats, energy is conserved.

Twenty picoseconds are measured by scripts/embedded/measure_dynamics.py, a picosecond at constant energy by
measure_drift.py; results in docs/embedded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import unit

from orbmm.analysis import compute_bonds
from orbmm.checkpoints.catalog import find_record
from orbmm.forces.attach import create_system
from orbmm.settings import override_settings, read_settings
from orbmm.simulation.run import start_run
from orbmm.simulation.start.structure import read_start

pytestmark = [pytest.mark.slow, pytest.mark.physics]

CONSERVATIVE = "orb-mini-conservative-inf-xtb"
DIRECT = "orb-mini-direct-inf-xtb"
KELVIN = 300.0
LENGTH_PS = 1.0
ATOMS, WATERS, PEPTIDE_BONDS = 256, 78, 21
LONGEST_O_H_NM = 0.125
SMALLEST_H_O_H = 75.0  # degrees: below it a water has folded up
# What direct forces, no gradient of an energy, add at 100/ps: 302 K were read (friction_reason in the catalogue).
HEATING_KELVIN = {CONSERVATIVE: 0.0, DIRECT: 2.0}

TIMESTEP_FS, STEPS, STEPS_PER_ROW = 0.5, 400, 5
# A step of 0.5 fs lets the total energy swing by 0.02 meV/atom. If all of that swing were one line through 0.2 ps, its
# slope would be sqrt(12) x 0.02 / 0.2 = 0.35 meV/atom/ps: less than 0.5 cannot be asked of so short a run.
LARGEST_DRIFT = 0.5  # meV/atom/ps
FORCES_TOO_LARGE_BY = 0.02
LARGEST_SHARE = FORCES_TOO_LARGE_BY / 2
MEV_PER_KJ_PER_MOL = 1000 / 96.48533212331  # CODATA 2018


def allow_kelvin(model: str) -> float:
    """How far from its bath the mean temperature of the run may be: four standard errors and the known heating [K].

    One reading scatters by T sqrt(2 / (3N - 3)). Half of that variance swings with the vibrations and averages out; the
    other half, the exchange with the bath, is forgotten as exp(-friction t), which is a correlation time of
    1 / (2 friction) for the whole. The mean over a length L with x = friction L then has the variance of one reading
    times (1 - (1 - exp(-x)) / x) / x: 37 K at 1/ps, where the run is as long as that memory, and 6 K at 100/ps.
    """
    x = find_record(model).friction_per_ps * LENGTH_PS
    one_reading = KELVIN * math.sqrt(2 / (3 * ATOMS - 3))
    return 4 * one_reading * math.sqrt((1 - (1 - math.exp(-x)) / x) / x) + HEATING_KELVIN[model]


@pytest.mark.parametrize("model", [CONSERVATIVE, DIRECT])
def test_the_kept_box_stays_whole_and_at_its_temperature_for_a_picosecond(
    model: str, repository: Path, tmp_path: Path
) -> None:
    settings = read_settings(repository / "systems" / "alanine-dipeptide" / "system.toml")
    run = {"length_ps": LENGTH_PS, "output": tmp_path / "run", "seed": 5}
    outcome = start_run(override_settings(settings, {"model": {"name": model}, "run": run}))
    assert outcome.finished and outcome.step == 2000
    rows = np.genfromtxt(outcome.folder / "energies.csv", delimiter=",", names=True)
    assert abs(rows["temperature_K"].mean() - KELVIN) < allow_kelvin(model)
    frames = mdtraj.load(outcome.folder / "trajectory.xtc", top=outcome.folder / "topology.pdb")
    assert frames.n_atoms == ATOMS
    check_bonds(frames)
    check_waters(frames)


def check_bonds(frames: mdtraj.Trajectory) -> None:
    """No bond of peptide or water is broken, and no hydrogen has gone over to another atom."""
    bonds = compute_bonds(frames)
    assert bonds.number("bonds") == PEPTIDE_BONDS + 2 * WATERS
    assert bonds.values["broken_names"].tolist() == []
    assert bonds.number("transferred_largest") == 0


def check_waters(frames: mdtraj.Trajectory) -> None:
    """The bonds of water are shorter than any on its way to break, and no water has folded up."""
    waters = np.array([[atom.index for atom in water.atoms] for water in frames.topology.residues if water.is_water])
    assert waters.shape == (WATERS, 3)
    lengths = mdtraj.compute_distances(frames, np.concatenate([waters[:, [0, 1]], waters[:, [0, 2]]]))
    assert lengths.max() < LONGEST_O_H_NM
    assert lengths.min() > 0.08
    angles = mdtraj.compute_angles(frames, waters[:, [1, 0, 2]])  # hydrogen, oxygen, hydrogen
    assert np.degrees(angles.min()) > SMALLEST_H_O_H


@dataclass(frozen=True)
class Energies:
    """Along constant-energy dynamics, (n,): time [ps]; total, corrected and potential energy [meV/atom].

    corrected: the total energy less dt^2/8 sum F^2/m. Velocity Verlet conserves that for harmonic forces at any step,
    so that what is left of its swings tells about the forces.
    """

    time: np.ndarray
    total: np.ndarray
    corrected: np.ndarray
    potential: np.ndarray

    @property
    def drift(self) -> float:
        """Slope of a line through the total energy [meV/atom/ps]."""
        return float(np.polyfit(self.time, self.total, 1)[0])

    @property
    def share(self) -> float:
        """What the total energy gains of each unit of potential energy: 0; -s where forces are too large by s."""
        return float(np.polyfit(self.potential, self.corrected, 1)[0])


def conserve(repository: Path, steps: int, scale: float = 1.0) -> Energies:
    """Velocity Verlet of the conservative network from the kept start, with its forces times a scale."""
    settings = read_settings(repository / "systems" / "alanine-dipeptide" / "system.toml")
    start = read_start(settings.system)
    integrator = openmm.CustomIntegrator(TIMESTEP_FS * unit.femtosecond)
    integrator.addGlobalVariable("scale", scale)
    for variable, expression in (("v", "v + dt/2 * scale*f/m"), ("x", "x + dt*v"), ("v", "v + dt/2 * scale*f/m")):
        integrator.addComputePerDof(variable, expression)
    system = create_system(start.topology, override_settings(settings, {"model": {"name": CONSERVATIVE}}).model)
    masses = np.array([system.getParticleMass(index)._value for index in range(system.getNumParticles())])
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(start.positions)
    context.setVelocities(start.velocities)
    rows = []
    for _ in range(steps // STEPS_PER_ROW):
        integrator.step(STEPS_PER_ROW)
        state = context.getState(energy=True, forces=True)
        potential, kinetic = state.getPotentialEnergy()._value, state.getKineticEnergy()._value
        square = ((scale * state.getForces(asNumpy=True)._value) ** 2 / masses[:, None]).sum()
        correction = (TIMESTEP_FS / 1000) ** 2 / 8 * square
        rows.append((potential + kinetic, potential + kinetic - correction, potential))
    total, corrected, potential = np.array(rows).T * MEV_PER_KJ_PER_MOL / len(masses)
    return Energies(np.arange(len(rows)) * STEPS_PER_ROW * TIMESTEP_FS / 1000, total, corrected, potential)


def test_the_conservative_network_conserves_energy(repository: Path) -> None:
    energies = conserve(repository, STEPS)
    assert abs(energies.drift) <= LARGEST_DRIFT
    assert abs(energies.share) < LARGEST_SHARE
    assert energies.potential.std() > 0.5  # meV/atom: there was something to exchange


def test_forces_too_large_by_a_fiftieth_are_noticed(repository: Path) -> None:
    """By the share alone: 2 % of what the potential energy swings by, 0.03 meV/atom, is no drift in a short run."""
    energies = conserve(repository, STEPS // 2, scale=1 + FORCES_TOO_LARGE_BY)
    assert abs(energies.share) > LARGEST_SHARE
    assert energies.share == pytest.approx(-FORCES_TOO_LARGE_BY, abs=LARGEST_SHARE)
