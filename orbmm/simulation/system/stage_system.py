"""The System of a stage: that of the run, with the masses, restraints and barostat of the stage."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import openmm
from openmm import unit

from orbmm.run_files.checkpoints import PRODUCTION
from orbmm.settings import Stage
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.dynamics.thermometer import make_thermometer
from orbmm.simulation.schedule import PlannedStage
from orbmm.simulation.start.structure import Structure
from orbmm.simulation.system.integrators import (
    check_molecules,
    derive_seed,
    make_barostat,
    make_integrator,
)
from orbmm.simulation.system.platform import create_context
from orbmm.simulation.system.restraints import make_restraint, shift_mass_to_hydrogens

_LOG = logging.getLogger(__name__)


@dataclass
class StageSystem:
    """One System that is changed for each stage. A Context keeps the System as it was when the Context was made.

    So the network is attached only once; to copy a System, OpenMM would have to write and read it.
    """

    system: openmm.System
    start: Structure
    seed: int
    platform: str
    masses: np.ndarray = field(init=False)
    _own_forces: int = field(init=False)

    def __post_init__(self) -> None:
        self.masses = make_thermometer(self.system).masses
        self._own_forces = self.system.getNumForces()

    def open(self, planned: PlannedStage, first_step: int) -> Dynamics:
        """Return the dynamics of a stage, without positions.

        first_step: counted in the phase; the seed of the bath depends on it, so that a resumed run repeats no noise
        Raises RunError for missing atoms, hydrogens without a bond, and platforms that do not work.
        """
        stage = planned.stage
        bath = "bath" if planned.phase == PRODUCTION else f"bath of {planned.phase}"
        self._set_masses(stage)
        self._set_forces(stage, derive_seed(self.seed, f"{bath} pressure", first_step))
        seed = derive_seed(self.seed, bath, first_step)
        context = create_context(self.system, lambda: make_integrator(stage, seed), self.platform)
        if stage.pressure_bar is not None:
            check_molecules(context, self.start.topology)
        periodic = self.start.topology.getPeriodicBoxVectors() is not None
        return Dynamics(
            context, make_thermometer(self.system, self.start.topology), periodic, stage, planned.first_step
        )

    def _set_masses(self, stage: Stage) -> None:
        masses = self.masses
        if stage.hydrogen_mass_amu is not None:
            masses = shift_mass_to_hydrogens(self.start.topology, masses, stage.hydrogen_mass_amu)
        for index, mass in enumerate(masses):
            self.system.setParticleMass(index, mass * unit.dalton)

    def _set_forces(self, stage: Stage, seed: int) -> None:
        while self.system.getNumForces() > self._own_forces:
            self.system.removeForce(self.system.getNumForces() - 1)
        for restraint in stage.restraint:
            self.system.addForce(make_restraint(restraint, self.start))
        if stage.pressure_bar is not None:
            self.system.addForce(make_barostat(stage, seed))
