"""Sample structures for the embedded networks: classical dynamics at several temperatures and densities.

    python scripts/embedded/sample_frames.py training.npz --plan training
    python scripts/embedded/sample_frames.py held_out.npz --plan held-out

Periodic boxes of water and of a capped peptide in water, the peptide in small drops, and peptides alone. Every second
frame is displaced at random: the classical and the quantum-chemical surfaces differ, and noise covers the gap.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openmm import LangevinMiddleIntegrator, Platform, Vec3, app, unit

from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.training.dataset import Frame, write_frames

WATER_VOLUME = 29.9  # Å^3 a molecule at 300 K and 1 bar
VOLUME_PER_PEPTIDE_ATOM = 6.6  # Å^3
FORCE_FIELD = app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")
STEPS_BETWEEN_FRAMES = 200  # of 0.5 fs


@dataclass(frozen=True)
class Trajectory:
    """One classical trajectory: what is in it and how many frames are taken."""

    group: str
    residue: str | None
    waters: int
    periodic: bool
    frames: int
    temperature: float  # [K]
    volume_scale: float = 1.0


def plan_training() -> list[Trajectory]:
    """Boxes and temperatures of the training frames."""
    scales = (1.0, 0.97, 1.03, 0.95, 1.06)
    trajectories = []
    for index in range(20):
        trajectories.append(
            Trajectory(
                f"box-ala-{index}", "ALA", 24 + index % 7, True, 32, (300, 350, 400, 600)[index % 4], scales[index % 5]
            )
        )
    for index in range(6):
        trajectories.append(
            Trajectory(f"water-{index}", None, 31 + index % 3, True, 30, (300, 400, 500)[index % 3], scales[index % 5])
        )
    for index in range(20):
        trajectories.append(Trajectory(f"drop-ala-{index}", "ALA", 6 + index % 8, False, 25, (250, 300, 400)[index % 3]))
    for index in range(20):
        trajectories.append(Trajectory(f"alone-ala-{index}", "ALA", 0, False, 40, (300, 400, 500, 700)[index % 4]))
    for residue in ("GLY", "SER", "THR", "PRO", "TYR", "TRP", "ASN", "VAL", "LEU", "GLN"):
        for index in range(2):
            trajectories.append(Trajectory(f"alone-{residue.lower()}-{index}", residue, 0, False, 20, (300, 500)[index]))
    for residue in ("GLY", "SER"):
        trajectories.append(Trajectory(f"box-{residue.lower()}-0", residue, 26, True, 25, 350))
    return trajectories


def plan_held_out() -> list[Trajectory]:
    """Boxes of other sizes than any in training, at 300 K."""
    return [
        Trajectory("held-box-ala-0", "ALA", 33, True, 15, 300),
        Trajectory("held-box-ala-1", "ALA", 36, True, 15, 330),
        Trajectory("held-water-0", None, 36, True, 10, 300),
    ]


def sample(trajectory: Trajectory, seed: int) -> list[Frame]:
    """Run one trajectory and take its frames."""
    random.seed(seed)
    generator = np.random.default_rng(seed)
    modeller = _solvate(trajectory, seed)
    simulation = _start(modeller, trajectory, seed)
    peptide = np.array([atom.residue.name != "HOH" for atom in modeller.topology.atoms()])
    numbers = np.array([atom.element.atomic_number for atom in modeller.topology.atoms()])
    cell = None
    if trajectory.periodic:
        cell = np.array(modeller.topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom))
    simulation.step(10 * STEPS_BETWEEN_FRAMES)
    frames = []
    for index in range(trajectory.frames):
        simulation.step(STEPS_BETWEEN_FRAMES)
        state = simulation.context.getState(positions=True)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        if index % 2:
            positions = positions + generator.normal(0.0, generator.uniform(0.02, 0.07), positions.shape)
        frames.append(Frame(numbers, np.array(positions), cell, peptide, trajectory.group))
    return frames


def _solvate(trajectory: Trajectory, seed: int) -> app.Modeller:
    """A peptide with exactly the wanted waters, in its periodic box or in a larger one that only served to place them."""
    if trajectory.residue:
        modeller = build_capped_peptide(trajectory.residue, seed=seed)
    else:
        modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    atoms = modeller.topology.getNumAtoms()
    modeller.topology.setUnitCellDimensions(None)
    if not trajectory.waters:
        return modeller
    volume = trajectory.waters * WATER_VOLUME + atoms * VOLUME_PER_PEPTIDE_ATOM
    edge = (volume * trajectory.volume_scale) ** (1 / 3) / 10  # [nm]
    modeller.addSolvent(FORCE_FIELD, model="tip3p", boxSize=Vec3(1, 1, 1) * max(1.35 * edge, 1.5), neutralize=False)
    _keep_nearest_waters(modeller, trajectory.waters)
    modeller.topology.setUnitCellDimensions(Vec3(edge, edge, edge) if trajectory.periodic else None)
    return modeller


def _keep_nearest_waters(modeller: app.Modeller, count: int) -> None:
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    solute = [atom.index for residue in modeller.topology.residues() if residue.name != "HOH" for atom in residue.atoms()]
    center = positions[solute] if solute else positions.mean(axis=0)[None]
    waters = [residue for residue in modeller.topology.residues() if residue.name == "HOH"]
    oxygen = positions[[next(residue.atoms()).index for residue in waters]]
    distance = np.linalg.norm(oxygen[:, None] - center[None], axis=-1).min(axis=1)
    modeller.delete([waters[index] for index in np.argsort(distance)[count:]])


def _start(modeller: app.Modeller, trajectory: Trajectory, seed: int) -> app.Simulation:
    method, edge = app.NoCutoff, None
    if trajectory.periodic:
        edge = modeller.topology.getUnitCellDimensions()[0].value_in_unit(unit.nanometer)
        method = app.PME
    system = FORCE_FIELD.createSystem(
        modeller.topology,
        nonbondedMethod=method,
        nonbondedCutoff=0.48 * edge if edge else 1.0,
        constraints=None,
        rigidWater=False,
    )
    integrator = LangevinMiddleIntegrator(trajectory.temperature, 5.0, 0.0005)
    integrator.setRandomNumberSeed(seed)
    platform = Platform.getPlatform("CPU")
    simulation = app.Simulation(modeller.topology, system, integrator, platform, {"Threads": "1"})
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy(maxIterations=500)
    simulation.context.setVelocitiesToTemperature(trajectory.temperature, seed)
    return simulation


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--plan", choices=("training", "held-out"), default="training")
    arguments = parser.parse_args()
    held_out = arguments.plan == "held-out"
    frames = []
    for index, trajectory in enumerate(plan_held_out() if held_out else plan_training()):
        frames += sample(trajectory, seed=index + (1000 if held_out else 1))
        print(f"{trajectory.group}: {len(frames)} frames so far", flush=True)
    write_frames(arguments.target, frames)
