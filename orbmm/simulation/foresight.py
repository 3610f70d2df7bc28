"""What would stop a run only at a later stage, hours from now, is found before its first step."""

from __future__ import annotations

from orbmm.errors import RunError
from orbmm.settings import Settings
from orbmm.simulation.masses import shift_mass_to_hydrogens
from orbmm.simulation.restraints import make_restraint
from orbmm.simulation.selection import select_atoms
from orbmm.simulation.stage_system import StageSystem


def check_stages(settings: Settings, system: StageSystem) -> None:
    """Raise RunError for atoms that are not there, hydrogens that cannot be made heavier, and pressure without a box."""
    start = system.start
    for selection in (settings.run.frame_atoms, settings.run.show_rmsd):
        if selection is not None and selection != "all":
            select_atoms(start.topology, selection)
    for stage in settings.stages:
        for restraint in stage.restraint:
            make_restraint(restraint, start)
        if stage.hydrogen_mass_amu is not None:
            shift_mass_to_hydrogens(start.topology, system.masses, stage.hydrogen_mass_amu)
        if stage.pressure_bar is not None and start.topology.getPeriodicBoxVectors() is None:
            raise RunError(
                f"pressure_bar is {stage.pressure_bar:g}, but the structure has no box; leave the pressure away"
            )
