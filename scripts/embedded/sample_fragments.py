"""Sample fragments of real proteins in water for the embedded networks, from classical dynamics.

    python scripts/embedded/sample_fragments.py fragments.npz [--structures FOLDER_OF_PDB_FILES] [--proteins 1CRN 2CBA]

Each protein is prepared at several pH values, so that every residue comes in its common protonation states, with
neutralising sodium or chloride. A metal keeps the distances of its crystal. Half of the fragments are displaced at
random: the classical and the quantum-chemical surfaces differ, and noise covers the gap. Villin (2F4K) and ubiquitin
(1UBQ) are no sources: they stay unseen. Stopped and repeated, the script goes on after the last finished protein.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from join_frames import drop_repeated
from openmm import HarmonicBondForce, LangevinMiddleIntegrator, Platform, app, unit

from orbmm.geometry import take_nearest
from orbmm.preparation.force_field import choose_templates, load_force_field
from orbmm.preparation.prepare import prepare_system
from orbmm.preparation.residues import is_water
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings
from orbmm.training.data.fragments import METAL_BOND_ANGSTROM, FragmentSource
from orbmm.training.data.frames import Frame, read_frames, write_frames

FIRST_STEPS, STEPS_BETWEEN = 300, 100  # of 0.5 fs
METAL_STIFFNESS = 40_000.0  # kJ/mol/nm^2
SHARE_OF_WATERS = 0.1  # of the centres
LARGEST_NOISE_ANGSTROM = 0.07


@dataclass(frozen=True)
class Protein:
    """One protein, how it is prepared, and how many fragments it gives at each pH and temperature."""

    code: str
    ph_values: tuple[float, ...]
    fragments: int
    padding_nm: float = 0.5
    preparation: PreparationSettings = field(default_factory=PreparationSettings)


PROTEINS = (
    Protein("1UAO", (7.0, 2.5, 12.0), 120),  # chignolin
    Protein("5AWL", (7.0, 2.5), 100),  # a variant of it
    Protein("1L2Y", (7.0, 2.5, 12.0), 150),  # Trp-cage
    Protein("1CRN", (7.0, 2.5), 150),  # crambin: three disulfides
    Protein("5PTI", (7.0, 2.5, 12.0), 250),  # trypsin inhibitor
    Protein(
        "2CBA",
        (7.0, 5.5),
        500,
        0.3,
        PreparationSettings(insert_before={"A:3": "ACE SER"}, alternate_locations={"A:64": "A"}),
    ),  # carbonic anhydrase II
)
TEMPERATURES = (300.0, 400.0)


def sample_protein(protein: Protein, ph: float, structures: Path | None, seed: int) -> Iterator[Frame]:
    """Yield the fragments of one protein at one pH."""
    local = structures / f"{protein.code.lower()}.pdb" if structures else None
    source = str(local) if local and local.is_file() else f"pdb:{protein.code}"
    system = SystemSettings(
        name=protein.code.lower(), source=source, ph=ph, padding_nm=protein.padding_nm, box="dodecahedron", seed=seed
    )
    prepared = prepare_system(system, protein.preparation)
    generator = np.random.default_rng(seed)
    fragments = FragmentSource.of(prepared.topology)
    for temperature in TEMPERATURES:
        simulation = start_dynamics(prepared.topology, prepared.positions, fragments, temperature, seed)
        simulation.step(FIRST_STEPS)
        frames = 5
        for _ in range(frames):
            simulation.step(STEPS_BETWEEN)
            count = protein.fragments // (frames * len(TEMPERATURES))
            yield from cut_some(simulation, fragments, count, generator, f"{protein.code.lower()}-ph{ph:g}")


def cut_some(
    simulation: app.Simulation, source: FragmentSource, count: int, generator: np.random.Generator, name: str
) -> Iterator[Frame]:
    """Yield fragments of the present frame about residues drawn at random; every second one displaced."""
    state = simulation.context.getState(positions=True, enforcePeriodicBox=False)
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    cell = np.array(state.getPeriodicBoxVectors().value_in_unit(unit.angstrom))
    waters = np.array([is_water(residue) for residue in source.residues])
    weights = np.where(waters, SHARE_OF_WATERS / max(waters.sum(), 1), (1 - SHARE_OF_WATERS) / (~waters).sum())
    for center in generator.choice(len(waters), size=count, p=weights / weights.sum()):
        frame = source.cut(positions, cell, int(center))
        if generator.random() < 0.5:
            spread = generator.uniform(0.02, LARGEST_NOISE_ANGSTROM)
            frame = replace(frame, positions=frame.positions + generator.normal(0.0, spread, frame.positions.shape))
        yield replace(frame, group=f"{name}-{frame.group}")


def start_dynamics(
    topology: app.Topology, positions: unit.Quantity, source: FragmentSource, temperature: float, seed: int
) -> app.Simulation:
    """Return classical dynamics without constraints; a metal's bonds are held at the distances that they have."""
    system = load_force_field().createSystem(
        topology,
        residueTemplates=choose_templates(topology),
        nonbondedMethod=app.PME,
        nonbondedCutoff=0.7 * unit.nanometer,
        constraints=None,
        rigidWater=False,
    )
    system.addForce(_hold_metals(topology, positions, source))
    integrator = LangevinMiddleIntegrator(temperature, 5.0, 0.0005)
    integrator.setRandomNumberSeed(seed)
    simulation = app.Simulation(topology, system, integrator, Platform.getPlatform("CPU"), {"Threads": "1"})
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(maxIterations=100)
    simulation.context.setVelocitiesToTemperature(temperature, seed)
    return simulation


def _hold_metals(topology: app.Topology, positions: unit.Quantity, source: FragmentSource) -> HarmonicBondForce:
    places = np.array(positions.value_in_unit(unit.angstrom))
    cell = np.array(topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom))
    force = HarmonicBondForce()
    force.setUsesPeriodicBoundaryConditions(True)
    heavy = np.array([atom.element.symbol != "H" for atom in source.atoms])
    for metal in source.metals:
        distances = np.linalg.norm(take_nearest(places - places[metal], cell), axis=1)
        for atom in np.flatnonzero((distances < METAL_BOND_ANGSTROM) & (distances > 0.1) & heavy):
            force.addBond(metal, int(atom), distances[atom] / 10, METAL_STIFFNESS)
    return force


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--structures", type=Path, help="folder of <code>.pdb; absent: the Protein Data Bank")
    parser.add_argument("--proteins", nargs="+", default=[protein.code for protein in PROTEINS])
    parser.add_argument("--repeat", type=int, default=0, choices=range(10), help="1, 2, ...: more frames, other seeds")
    arguments = parser.parse_args()
    parts = arguments.target.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    for index, protein in enumerate(PROTEINS):
        for ph in protein.ph_values if protein.code in arguments.proteins else ():
            part = parts / f"{protein.code.lower()}-ph{ph:g}.npz"
            if not part.exists():
                seed = 100 * (index + 1) + round(ph) + 10_000 * arguments.repeat
                write_frames(part, list(sample_protein(protein, ph, arguments.structures, seed)))
            print(part.name, len(read_frames(part)), flush=True)
    fragments = [frame for part in sorted(parts.glob("*.npz")) for frame in read_frames(part)]
    # A residue may be drawn twice from one frame.
    write_frames(arguments.target, drop_repeated(fragments))
