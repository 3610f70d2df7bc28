"""Sample structures for the embedded networks: classical dynamics at several temperatures and densities.

    python scripts/embedded/sample_frames.py training.npz --plan training
    python scripts/embedded/sample_frames.py held_out.npz --plan held-out
    python scripts/embedded/sample_frames.py own.npz --plan own \\
        --weights training/orb-mini-conservative-inf-xtb.safetensors

Periodic boxes of water and of a capped peptide in water, the peptide in small drops, and peptides alone. The plans
residues and salt hold all residues in their protonation states, with the ions that make them neutral. The plan
active-site holds drops around serine, protonated histidine and aspartate. Every second frame is displaced at random:
the classical and the quantum-chemical surfaces differ, and noise covers the gap. With --weights a network drives the
dynamics instead, so that it can be taught where it goes wrong by itself.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from openmm import LangevinMiddleIntegrator, Platform, Vec3, app, unit

from orbmm.forces.attach import create_system
from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.preparation.force_field import sum_charge
from orbmm.settings.model import ModelSettings
from orbmm.training.data.frames import Frame
from orbmm.training.data.writing import check_target, write_any

WATER_VOLUME = 29.9  # Å^3 a molecule at 300 K and 1 bar
VOLUME_PER_PEPTIDE_ATOM = 6.6  # Å^3
FORCE_FIELD = app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")
CPU = Platform.getPlatform("CPU")
STEPS_BETWEEN_FRAMES = 200  # of 0.5 fs
NETWORK_STEPS_BETWEEN_FRAMES = 100
PLACEMENTS = 10
SEEDS_PER_REPEAT = 10_000
SEEDS_PER_PLACEMENT = 100_000
FOLDED_ANGLES = (45.0, 178.0)  # degrees, H-O-H
LARGEST_START_FORCE = 2e4  # kJ/mol/nm after minimisation; atoms inside each other leave far more


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
    distortion: float = 0.0  # [Å], of a fifth of the hydrogens in every frame
    folded: float = 0.0  # share of the waters whose angle is drawn anew in every frame
    variant: str | None = None  # of the residue's protonation, such as "ASH"
    ions: tuple[str, ...] = ()  # each takes the place of a water


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
        trajectories.append(
            Trajectory(f"drop-ala-{index}", "ALA", 6 + index % 8, False, 25, (250, 300, 400)[index % 3])
        )
    for index in range(20):
        trajectories.append(Trajectory(f"alone-ala-{index}", "ALA", 0, False, 40, (300, 400, 500, 700)[index % 4]))
    for residue in ("GLY", "SER", "THR", "PRO", "TYR", "TRP", "ASN", "VAL", "LEU", "GLN"):
        for index in range(2):
            trajectories.append(
                Trajectory(f"alone-{residue.lower()}-{index}", residue, 0, False, 20, (300, 500)[index])
            )
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


def plan_distorted() -> list[Trajectory]:
    """Frames with some hydrogens far from where any dynamics has them: a direct network must learn the way back."""
    drops = [Trajectory(f"drop-far-{index}", "ALA", 5 + index % 8, False, 40, 300, 1.0, 0.3) for index in range(12)]
    boxes = [Trajectory(f"water-far-{index}", None, 31 + index, True, 12, 300, 1.0, 0.3) for index in range(3)]
    return [*drops, *boxes]


def plan_folded() -> list[Trajectory]:
    """Waters bent, folded and opened as no classical water is; a network that saw none invents a minimum there."""
    drops = [
        Trajectory(f"drop-folded-{index}", "ALA", 5 + index % 8, False, 20, (300, 400)[index % 2], folded=0.3)
        for index in range(12)
    ]
    boxes = [
        Trajectory(f"water-folded-{index}", None, 31 + index, True, 30, (300, 330, 400)[index], folded=0.15)
        for index in range(3)
    ]
    peptides = [Trajectory(f"box-folded-{index}", "ALA", 25 + index, True, 15, 300, folded=0.1) for index in range(4)]
    return [*drops, *boxes, *peptides]


def plan_own() -> list[Trajectory]:
    """Boxes, drops and peptides alone for dynamics with a network in training."""
    boxes = [
        Trajectory(f"own-ala-{index}", "ALA", 24 + 2 * (index % 6), True, 10, (300, 350, 450)[index % 3])
        for index in range(6)
    ]
    water = [Trajectory(f"own-water-{index}", None, 32, True, 6, 330) for index in range(1)]
    drops = [Trajectory(f"own-drop-{index}", "ALA", 8 + index, False, 10, 300) for index in range(4)]
    alone = [Trajectory(f"own-alone-{index}", "ALA", 0, False, 20, (300, 450)[index % 2]) for index in range(4)]
    return [*boxes, *water, *drops, *alone]


def plan_own_held_out() -> list[Trajectory]:
    """Boxes of about 250 atoms, as large as the one that ships, in the network's own dynamics."""
    return [Trajectory(f"held-own-{index}", "ALA", 75, True, 6, 300) for index in range(2)]


NEUTRAL = ("ALA", "GLY", "SER", "THR", "PRO", "TYR", "TRP", "ASN", "VAL", "LEU", "GLN", "ILE", "PHE", "MET", "CYS")
# Residue, variant, and the ion that makes it neutral.
CHARGED = (
    ("ASP", None, ("NA",)),
    ("GLU", None, ("NA",)),
    ("LYS", None, ("CL",)),
    ("ARG", None, ("CL",)),
    ("HIS", "HIP", ("CL",)),
)
STANDARD = {"ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "HID": "HIS", "HIE": "HIS", "HIP": "HIS"}
PROTONATED = (("ASP", "ASH"), ("GLU", "GLH"), ("LYS", "LYN"), ("HIS", "HID"), ("HIS", "HIE"))


def plan_residues() -> list[Trajectory]:
    """All residues in their protonation states: in boxes of water with a neutralising ion, and in drops."""
    kinds = [(residue, None, ()) for residue in NEUTRAL]
    kinds += [(residue, variant, ()) for residue, variant in PROTONATED] + list(CHARGED)
    trajectories = []
    for index, (residue, variant, ions) in enumerate(kinds):
        name = (variant or residue).lower()
        scale = (1.0, 0.97, 1.03, 0.95, 1.06)[index % 5]
        for place, temperature in (("box", 300), ("box", 400), ("drop", 300), ("drop", 500)):
            is_box = place == "box"
            trajectories.append(
                Trajectory(
                    group=f"{place}-{name}-{temperature}",
                    residue=residue,
                    waters=22 + index % 5 if is_box else 5 + index % 6,
                    periodic=is_box,
                    frames=16,
                    temperature=temperature,
                    volume_scale=scale if is_box else 1.0,
                    variant=variant,
                    ions=ions if is_box or index % 2 else (),
                )
            )
    return trajectories


def plan_salt() -> list[Trajectory]:
    """Water alone and with sodium and chloride, near and apart."""
    pure = [Trajectory(f"water-{t}-{s}", None, 31 + i, True, 20, t, s) for i, (t, s) in enumerate(
        ((300, 1.0), (330, 0.97), (400, 1.03), (350, 1.06), (500, 1.0)))]  # fmt: skip
    salt = [
        Trajectory(f"salt-{index}", None, 29 - index % 3, True, 20, (300, 350, 450)[index % 3], ions=ions)
        for index, ions in enumerate(
            (("NA", "CL"), ("NA", "CL"), ("NA", "NA", "CL", "CL"), ("NA",), ("CL",), ("CL", "CL"))
        )
    ]
    return pure + salt


def plan_residues_held_out() -> list[Trajectory]:
    """Every residue, sodium and chloride in boxes of another size than in training, at 310 K."""
    kinds = [(residue, None, ()) for residue in NEUTRAL]
    kinds += [(residue, variant, ()) for residue, variant in PROTONATED] + list(CHARGED)
    held = [
        Trajectory(f"held-{(variant or residue).lower()}", residue, 35, True, 4, 310, variant=variant, ions=ions)
        for residue, variant, ions in kinds
    ]
    return [*held, Trajectory("held-water", None, 36, True, 8, 310),
            Trajectory("held-salt", None, 38, True, 8, 310, ions=("NA", "CL"))]  # fmt: skip


def plan_active_site() -> list[Trajectory]:
    """Serine, protonated histidine and aspartate, a neutral active site of 53 atoms, in drops of nine waters."""
    return [
        Trajectory(f"active-site-{index}", "SER-HIS-ASP", 9, False, 50, (300, 330, 400)[index % 3], variant="HIP")
        for index in range(10)
    ]


PLANS = {
    "training": plan_training,
    "held-out": plan_held_out,
    "own": plan_own,
    "own-held-out": plan_own_held_out,
    "distorted": plan_distorted,
    "folded": plan_folded,
    "residues": plan_residues,
    "salt": plan_salt,
    "residues-held-out": plan_residues_held_out,
    "active-site": plan_active_site,
}


def sample(trajectory: Trajectory, seed: int, weights: Path | None = None, model: str = "") -> list[Frame]:
    """Run one trajectory, classical or with a network, and take its frames."""
    random.seed(seed)
    generator = np.random.default_rng(seed)
    simulation = _place_and_start(trajectory, seed)
    modeller = app.Modeller(simulation.topology, simulation.context.getState(positions=True).getPositions())
    peptide = np.array([atom.residue.name != "HOH" for atom in modeller.topology.atoms()])
    numbers = np.array([atom.element.atomic_number for atom in modeller.topology.atoms()])
    cell = None
    if trajectory.periodic:
        cell = np.array(modeller.topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom))
    charge = sum_charge(modeller.topology) if trajectory.residue or trajectory.ions else 0
    simulation.step(10 * STEPS_BETWEEN_FRAMES)
    if weights is not None:
        simulation = _hand_over(simulation, trajectory, ModelSettings(name=model, weights=weights), seed)
        simulation.step(STEPS_BETWEEN_FRAMES)
    interval = STEPS_BETWEEN_FRAMES if weights is None else NETWORK_STEPS_BETWEEN_FRAMES
    frames = []
    for index in range(trajectory.frames):
        simulation.step(interval)
        state = simulation.context.getState(positions=True)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        if index % 2 and weights is None:
            positions = positions + generator.normal(0.0, generator.uniform(0.02, 0.07), positions.shape)
        if trajectory.distortion:
            moved = (numbers == 1) & (generator.random(len(numbers)) < 0.2)
            positions = positions + moved[:, None] * generator.normal(0.0, trajectory.distortion, positions.shape)
        if trajectory.folded:
            positions = _fold_waters(modeller.topology, np.array(positions), trajectory.folded, generator)
        frames.append(Frame(numbers, np.array(positions), cell, peptide, trajectory.group, charge=charge or None))
    return frames


def _fold_waters(
    topology: app.Topology, positions: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Positions (n, 3) [Å] with the second hydrogen of some waters turned about the oxygen, in the water's plane."""
    waters = [[atom.index for atom in residue.atoms()] for residue in topology.residues() if residue.name == "HOH"]
    for oxygen, first, second in waters:
        if generator.random() > share:
            continue
        along = positions[first] - positions[oxygen]
        along /= np.linalg.norm(along)
        other = positions[second] - positions[oxygen]
        across = other - (other @ along) * along
        angle = np.radians(generator.uniform(*FOLDED_ANGLES))
        direction = np.cos(angle) * along + np.sin(angle) * across / np.linalg.norm(across)
        positions[second] = positions[oxygen] + np.linalg.norm(other) * direction
    return positions


def _place_and_start(trajectory: Trajectory, seed: int) -> app.Simulation:
    """Classical dynamics ready to go; where a water's proton landed in another water, all is placed once more."""
    for attempt in range(PLACEMENTS):
        attempt_seed = seed + attempt * SEEDS_PER_PLACEMENT
        simulation = _start(_solvate(trajectory, attempt_seed), trajectory, attempt_seed)
        forces = simulation.context.getState(forces=True).getForces(asNumpy=True)
        largest = np.abs(forces.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)).max()
        if largest < LARGEST_START_FORCE:
            return simulation
    raise RuntimeError(f"{trajectory.group}: {PLACEMENTS} placements all left atoms inside each other; change its box")


def _solvate(trajectory: Trajectory, seed: int) -> app.Modeller:
    """A peptide with exactly the wanted waters, in its periodic box or in a larger one that served to place them."""
    if trajectory.residue:
        modeller = build_capped_peptide(trajectory.residue, seed=seed)
        if trajectory.variant:
            parent = STANDARD[trajectory.variant]
            variants = [trajectory.variant if one.name == parent else None for one in modeller.topology.residues()]
            modeller.addHydrogens(FORCE_FIELD, variants=variants, platform=CPU)
    else:
        modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    atoms = modeller.topology.getNumAtoms()
    modeller.topology.setUnitCellDimensions(None)
    if not trajectory.waters:
        return modeller
    volume = trajectory.waters * WATER_VOLUME + atoms * VOLUME_PER_PEPTIDE_ATOM
    edge = (volume * trajectory.volume_scale) ** (1 / 3) / 10  # [nm]
    modeller.addSolvent(FORCE_FIELD, model="tip3p", boxSize=Vec3(1, 1, 1) * max(1.35 * edge, 1.5), neutralize=False)
    _keep_nearest_waters(modeller, trajectory.waters + len(trajectory.ions))
    _replace_waters(modeller, trajectory.ions, seed)
    modeller.topology.setUnitCellDimensions(Vec3(edge, edge, edge) if trajectory.periodic else None)
    return modeller


def _keep_nearest_waters(modeller: app.Modeller, count: int) -> None:
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    solute = [
        atom.index for residue in modeller.topology.residues() if residue.name != "HOH" for atom in residue.atoms()
    ]
    center = positions[solute] if solute else positions.mean(axis=0)[None]
    waters = [residue for residue in modeller.topology.residues() if residue.name == "HOH"]
    oxygen = positions[[next(residue.atoms()).index for residue in waters]]
    distance = np.linalg.norm(oxygen[:, None] - center[None], axis=-1).min(axis=1)
    modeller.delete([waters[index] for index in np.argsort(distance)[count:]])


def _replace_waters(modeller: app.Modeller, ions: tuple[str, ...], seed: int) -> None:
    """Put each ion in the place of a water drawn at random."""
    waters = [residue for residue in modeller.topology.residues() if residue.name == "HOH"]
    chosen = [waters[index] for index in np.random.default_rng(seed).permutation(len(waters))[: len(ions)]]
    places = [modeller.positions[next(residue.atoms()).index] for residue in chosen]
    modeller.delete(chosen)
    for name, place in zip(ions, places, strict=True):
        topology = app.Topology()
        residue = topology.addResidue(name, topology.addChain())
        topology.addAtom(name, {"NA": app.element.sodium, "CL": app.element.chlorine}[name], residue)
        modeller.add(topology, [place] * unit.nanometer if not unit.is_quantity(place) else [place])


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


def _hand_over(classical: app.Simulation, trajectory: Trajectory, model: ModelSettings, seed: int) -> app.Simulation:
    """The same atoms where the classical trajectory left them, relaxed and then driven by a network."""
    system = create_system(classical.topology, model)
    integrator = LangevinMiddleIntegrator(trajectory.temperature, 5.0, 0.0005)
    integrator.setRandomNumberSeed(seed)
    simulation = app.Simulation(classical.topology, system, integrator, Platform.getPlatform("CPU"), {"Threads": "1"})
    simulation.context.setPositions(classical.context.getState(positions=True).getPositions())
    simulation.minimizeEnergy(maxIterations=50)
    simulation.context.setVelocitiesToTemperature(trajectory.temperature, seed)
    return simulation


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help=".npz or .extxyz")
    parser.add_argument("--plan", choices=tuple(PLANS), default="training")
    parser.add_argument("--weights", type=Path, help="a network's weights; absent: classical dynamics")
    parser.add_argument("--model", default="orb-mini-conservative-inf-xtb", help="the network that the weights are of")
    parser.add_argument(
        "--repeat", type=int, default=0, choices=range(10), help="0 for the plan's own seeds, 1, 2, ... for more frames"
    )
    parser.add_argument("--groups", nargs="+", default=[""], help="only trajectories that begin so, such as own-ala")
    arguments = parser.parse_args()
    check_target(arguments.target)
    first_seed = 1 + 1000 * tuple(PLANS).index(arguments.plan) + SEEDS_PER_REPEAT * arguments.repeat
    frames = []
    for index, trajectory in enumerate(PLANS[arguments.plan]()):
        if not trajectory.group.startswith(tuple(arguments.groups)):
            continue
        frames += sample(trajectory, first_seed + index, arguments.weights, arguments.model)
        print(f"{trajectory.group}: {len(frames)} frames so far", flush=True)
    write_any(arguments.target, frames)
