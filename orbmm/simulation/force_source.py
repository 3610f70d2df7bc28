"""The interface between a run and its forces: the System of a topology, and the identity of the forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import openmm
from openmm import app

from orbmm.forces.atom_confidence import AtomConfidence
from orbmm.settings import ModelSettings


@dataclass(frozen=True)
class ForceIdentity:
    """The description of the forces in run.json. A run is only resumed with weights of the same hash."""

    kind: str
    device: str
    weights_sha256: str


class ConfidenceSource(Protocol):
    """A source of expected force errors. bin_edges: (B + 1,) [eV/Å]"""

    bin_edges: np.ndarray

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Return the confidence at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None."""
        ...


class ForceSource(Protocol):
    """A source of forces for a topology. The code of a run does not depend on networks."""

    def resolve(self, model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
        """Return the settings with all open values resolved for a run of so many atoms and steps."""
        ...

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """Return a System with all masses and forces."""
        ...

    def identify(self, model: ModelSettings) -> ForceIdentity:
        """Return force kind, device and weights that these settings give on this machine."""
        ...

    def open_confidence(self, topology: app.Topology, model: ModelSettings) -> ConfidenceSource | None:
        """Return the confidence source of these forces, None if they have none."""
        ...


class NetworkForces:
    """The forces of the network in the settings. Its imports are inside the methods: reading a run needs no torch."""

    def resolve(self, model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
        """Return the settings with all open values resolved, by orbmm.forces.resolve."""
        from orbmm.forces.resolve import resolve_model

        return resolve_model(model, atoms, steps)

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """Return the System of orbmm.forces."""
        from orbmm.forces.attach import create_system

        return create_system(topology, model)

    def identify(self, model: ModelSettings) -> ForceIdentity:
        """Return force kind, device and weights of the System; weights that are not here are downloaded now."""
        from orbmm.checkpoints.catalog import find_record
        from orbmm.checkpoints.store import locate_weights
        from orbmm.forces.kinds import choose_force_kind, list_force_kinds
        from orbmm.model.precision import find_device

        return ForceIdentity(
            kind=choose_force_kind(model.force, list_force_kinds()).name,
            device=str(find_device(model.device)),
            weights_sha256=locate_weights(find_record(model.name), model.weights).sha256,
        )

    def open_confidence(self, topology: app.Topology, model: ModelSettings) -> ConfidenceSource | None:
        """Return the confidence source of the network that gives the forces, None if it has no confidence head."""
        from orbmm.forces.confidence import open_confidence

        return open_confidence(topology, model)
