"""What a run asks of the forces: a System for a topology, and the fingerprint of the weights behind it."""

from __future__ import annotations

from typing import Protocol

import openmm
from openmm import app

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import locate_weights
from orbmm.settings import ModelSettings


class ForceSource(Protocol):
    """Anything that can give a topology its forces; a run itself knows nothing of networks."""

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """A System with all masses and forces."""
        ...

    def hash_weights(self, model: ModelSettings) -> str:
        """sha256 of the weights; a run is only resumed with the same."""
        ...


class NetworkForces:
    """The network that the settings name."""

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """The System of orbmm.forces; imported here so that reading a run needs no torch."""
        from orbmm.forces.system import create_system

        return create_system(topology, model)

    def hash_weights(self, model: ModelSettings) -> str:
        """sha256 of the weights file, which is downloaded now if it is not here yet."""
        return locate_weights(find_record(model.name), model.weights).sha256
