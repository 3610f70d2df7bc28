"""The force group of the dispersion, by which its energy can be read apart from that of the network."""

from __future__ import annotations

import openmm

DISPERSION = "Dispersion"
"""The name of the force, as force.getName() returns it."""

LAST_GROUP = 31


def choose_dispersion_group(network_group: int) -> int:
    """Return a group beside that of the network."""
    return network_group + 1 if network_group < LAST_GROUP else network_group - 1


def find_dispersion_group(system: openmm.System) -> int | None:
    """Return the group of the dispersion in a System, None if it has none."""
    groups = (force.getForceGroup() for force in system.getForces() if force.getName() == DISPERSION)
    return next(groups, None)
