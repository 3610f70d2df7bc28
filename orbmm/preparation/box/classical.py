"""A classical force field takes the strain out of a new box before a network sees it.

First forces of a freshly built box reach 1e5 kJ/mol/nm, far outside what any network was trained on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from openmm import (
    CustomTorsionForce,
    HarmonicBondForce,
    LangevinMiddleIntegrator,
    MinimizationReporter,
    MonteCarloBarostat,
    OpenMMException,
    Platform,
    State,
    System,
    app,
    unit,
)

from orbmm.errors import PreparationError, quote_reason
from orbmm.preparation.force_field import Molecules, choose_templates, find_molecules, load_force_field
from orbmm.preparation.hydrogens.metal_sites import MetalSite
from orbmm.preparation.repair.chirality import find_chiral_residues, find_mirrored_residues
from orbmm.preparation.residues import is_polymer
from orbmm.settings.preparation import PreparationSettings

# amber14 holds metals by charge alone and pulls ligands 0.1-0.2 Å too near within 40 steps of minimisation, a hydroxide
# farther. As stiff as the bond of a water: still slower than that, so that the same timestep does.
METAL_BOND_KJ_PER_MOL_NM2 = 5.0e5
_IMPROPER_KJ_PER_MOL = 1000.0  # per radian squared
_IMPROPER_RADIANS = 0.59
_TIMESTEP_PS = 0.001  # water is flexible
_FRICTION_PER_PS = 5.0
_LARGEST_CUTOFF_NM = 0.9
_CUTOFF_BY_WIDTH = 0.42  # leaves the barostat room to shrink the box
_STEPS_BETWEEN_REPORTS = 10
_OVERLAP = "atoms overlap, so correct the file, or choose another seed where residues are built"

_log = logging.getLogger(__name__)

# Called with the name of the stage and the part of it that is done, from 0 to 1; 1 is always the last.
OnProgress = Callable[[str, float], None]


def ignore_progress(stage: str, done: float) -> None:
    """Do nothing: the callback where no progress is shown."""


@dataclass(frozen=True)
class Relaxation:
    """The outcome of relaxation with the classical force field.

    energy_start_kj_per_mol, energy_minimized_kj_per_mol: classical energy before and after the minimisation [kJ/mol]
    equilibrated_ps: length of the dynamics afterwards [ps]
    density_g_per_cm3: of the final box [g/cm^3]
    """

    energy_start_kj_per_mol: float
    energy_minimized_kj_per_mol: float
    equilibrated_ps: float
    density_g_per_cm3: float


@dataclass(frozen=True)
class Held:
    """Parts of a box that keep their geometry: distances at metals; ligands, which do not move, nor a metal at them."""

    sites: tuple[MetalSite, ...] = ()
    molecules: Molecules = ()


def relax_box(
    modeller: app.Modeller,
    held: Held,
    settings: PreparationSettings,
    seed: int,
    on_progress: OnProgress = ignore_progress,
    *,
    hold_chirality: bool = False,
) -> Relaxation:
    """Minimise, then run the dynamics that settings ask for; positions and box of the modeller become those of its end.

    hold_chirality: keep each amino acid on the side of L or D where it is
    Repeats bitwise on one thread, which settings have unless they say otherwise. Molecules end up whole, wrapped into
    the box.

    Raises PreparationError if the box is beyond repair.
    """
    system = _create_system(modeller, held)
    if hold_chirality:
        system.addForce(_hold_chirality(modeller))
    if settings.pressure_bar and settings.equilibration_ps:
        barostat = MonteCarloBarostat(settings.pressure_bar, settings.temperature_kelvin)
        barostat.setRandomNumberSeed(seed)
        system.addForce(barostat)
    simulation = _start(modeller, system, settings, seed)
    start = _read_energy(simulation)
    _minimize(simulation, settings, on_progress)
    minimized = _read_energy(simulation)
    if not math.isfinite(minimized):
        raise PreparationError(f"the classical minimisation ended at {minimized} kJ/mol: {_OVERLAP}")
    _equilibrate(simulation, settings, seed, on_progress)
    state = simulation.context.getState(positions=True, enforcePeriodicBox=True)
    modeller.topology.setPeriodicBoxVectors(state.getPeriodicBoxVectors())
    modeller.positions = state.getPositions()
    return Relaxation(start, minimized, settings.equilibration_ps, _compute_density(modeller.topology, state))


def _create_system(modeller: app.Modeller, held: Held) -> System:
    topology = modeller.topology
    width = min(topology.getPeriodicBoxVectors()[axis][axis].value_in_unit(unit.nanometer) for axis in range(3))
    system = load_force_field(held.molecules).createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=min(_LARGEST_CUTOFF_NM, _CUTOFF_BY_WIDTH * width),
        constraints=None,
        rigidWater=False,
        residueTemplates=choose_templates(topology, held.molecules),
    )
    for index in _find_metals_of_molecules(held):
        system.setParticleMass(index, 0.0)
    system.addForce(_hold_metals(held.sites))
    system.addForce(_join_molecules(modeller, held.molecules))
    return system


def _find_metals_of_molecules(held: Held) -> list[int]:
    """Return the metals that a ligand binds: held by distance alone, one could move around its atom to a hydrogen."""
    names = {molecule.residue for molecule in held.molecules}
    return [site.atom for site in held.sites if any(ligand.residue in names for ligand in site.ligands)]


def _hold_metals(sites: Iterable[MetalSite]) -> HarmonicBondForce:
    """Springs that keep metal-ligand distances as they were in the structure file."""
    springs = HarmonicBondForce()
    springs.setUsesPeriodicBoundaryConditions(True)
    for site in sites:
        for ligand in site.ligands:
            springs.addBond(site.atom, ligand.atom, ligand.distance_angstrom * 0.1, METAL_BOND_KJ_PER_MOL_NM2)
    return springs


def _join_molecules(modeller: app.Modeller, molecules: Molecules) -> HarmonicBondForce:
    """Bonds without strength along each ligand and to the nearest atom of a protein or nucleic acid.

    A barostat moves what is bonded as one: without them it would move each atom of a ligand by itself.
    """
    joints = HarmonicBondForce()
    joints.setUsesPeriodicBoundaryConditions(True)
    places = np.array(modeller.positions.value_in_unit(unit.nanometer)).reshape(-1, 3)
    polymer = [
        atom.index for residue in modeller.topology.residues() if is_polymer(residue) for atom in residue.atoms()
    ]
    for residue in find_molecules(modeller.topology, molecules).values():
        for first, second in residue.internal_bonds():
            joints.addBond(first.index, second.index, 0.0, 0.0)
        atoms = [atom.index for atom in residue.atoms()]
        if polymer:
            distances = np.linalg.norm(places[atoms][:, None] - places[polymer][None], axis=-1)
            own, other = np.unravel_index(distances.argmin(), distances.shape)
            joints.addBond(atoms[own], polymer[other], 0.0, 0.0)
    return joints


def _hold_chirality(modeller: app.Modeller) -> CustomTorsionForce:
    """Springs on the improper angle of CA, N, C and CB, 34 degrees in L-amino acids, and on that of HA, -34 degrees."""
    springs = CustomTorsionForce("0.5 * k * (theta - theta0)^2")
    springs.setUsesPeriodicBoundaryConditions(True)
    springs.addGlobalParameter("k", _IMPROPER_KJ_PER_MOL)
    springs.addPerTorsionParameter("theta0")
    mirrored = set(find_mirrored_residues(modeller.topology, modeller.positions))
    for residue in find_chiral_residues(modeller.topology):
        atoms = {atom.name: atom.index for atom in residue.atoms()}
        angle = -_IMPROPER_RADIANS if residue in mirrored else _IMPROPER_RADIANS
        springs.addTorsion(*(atoms[name] for name in ("CA", "N", "C", "CB")), [angle])
        if "HA" in atoms:
            springs.addTorsion(*(atoms[name] for name in ("CA", "N", "C", "HA")), [-angle])
    return springs


def _start(modeller: app.Modeller, system: System, settings: PreparationSettings, seed: int) -> app.Simulation:
    integrator = LangevinMiddleIntegrator(settings.temperature_kelvin, _FRICTION_PER_PS, _TIMESTEP_PS)
    integrator.setRandomNumberSeed(seed)
    properties = {"Threads": str(settings.threads), "DeterministicForces": "true"}
    simulation = app.Simulation(modeller.topology, system, integrator, Platform.getPlatform("CPU"), properties)
    simulation.context.setPositions(modeller.positions)
    return simulation


class _IterationCounter(MinimizationReporter):
    """Tells how many of the iterations that are allowed have been made."""

    def __init__(self, most_iterations: int, on_progress: OnProgress) -> None:
        super().__init__()
        self._most_iterations = most_iterations
        self._on_progress = on_progress

    def report(self, iteration: int, x: object, grad: object, args: object) -> bool:
        """Called by OpenMM after each iteration; True would stop the minimisation."""
        if iteration % _STEPS_BETWEEN_REPORTS == 0:
            self._on_progress("minimising", iteration / self._most_iterations)
        return False


def _minimize(simulation: app.Simulation, settings: PreparationSettings, on_progress: OnProgress) -> None:
    _log.info("minimising %d atoms with amber14, threads = %d", simulation.topology.getNumAtoms(), settings.threads)
    reporter = _IterationCounter(settings.minimization_steps, on_progress)
    try:
        simulation.minimizeEnergy(maxIterations=settings.minimization_steps, reporter=reporter)
    except OpenMMException as error:
        raise PreparationError(f"the classical minimisation failed{quote_reason(error)}: {_OVERLAP}") from error
    on_progress("minimising", 1.0)


def _equilibrate(simulation: app.Simulation, settings: PreparationSettings, seed: int, on_progress: OnProgress) -> None:
    steps = round(settings.equilibration_ps / _TIMESTEP_PS)
    if steps == 0:
        return
    _log.info("equilibrating for %g ps at %g K", settings.equilibration_ps, settings.temperature_kelvin)
    simulation.context.setVelocitiesToTemperature(settings.temperature_kelvin, seed)
    try:
        for done in range(0, steps, _STEPS_BETWEEN_REPORTS):
            on_progress("equilibrating", done / steps)
            simulation.step(min(_STEPS_BETWEEN_REPORTS, steps - done))
    except OpenMMException as error:
        raise PreparationError(f"the classical equilibration failed ({error}): look for overlapping atoms") from error
    on_progress("equilibrating", 1.0)


def _read_energy(simulation: app.Simulation) -> float:
    energy = simulation.context.getState(energy=True).getPotentialEnergy()
    return round(energy.value_in_unit(unit.kilojoule_per_mole), 3)


def _compute_density(topology: app.Topology, state: State) -> float:
    masses = (atom.element.mass.value_in_unit(unit.dalton) for atom in topology.atoms())
    mass = sum(masses) * unit.dalton / unit.AVOGADRO_CONSTANT_NA
    return round((mass / state.getPeriodicBoxVolume()).value_in_unit(unit.gram / unit.centimeter**3), 4)
