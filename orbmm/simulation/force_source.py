"""What a run asks of the forces: a System for a topology, and what is behind it."""

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
    """What run.json keeps of the forces; a run is only resumed with weights of the same hash."""

    kind: str
    device: str
    weights_sha256: str


class ConfidenceSource(Protocol):
    """What can say how far the forces may be off; bin_edges: (B + 1,) [eV/Å]."""

    bin_edges: np.ndarray

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """The confidence at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None."""
        ...


class ForceSource(Protocol):
    """Anything that can give a topology its forces; a run itself knows nothing of networks."""

    def resolve(self, model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
        """The settings with what they leave open decided for a run of so many atoms and steps."""
        ...

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """A System with all masses and forces."""
        ...

    def identify(self, model: ModelSettings) -> ForceIdentity:
        """What these settings mean here and now."""
        ...

    def open_confidence(self, topology: app.Topology, model: ModelSettings) -> ConfidenceSource | None:
        """The confidence beside these forces, None where they have none."""
        ...


class NetworkForces:
    """The network that the settings name. Imports wait until they are used, so that reading a run needs no torch."""

    def resolve(self, model: ModelSettings, atoms: int, steps: int) -> ModelSettings:
        """See orbmm.forces.resolve."""
        from orbmm.forces.resolve import resolve_model

        return resolve_model(model, atoms, steps)

    def create_system(self, topology: app.Topology, model: ModelSettings) -> openmm.System:
        """The System of orbmm.forces."""
        from orbmm.forces.attach import create_system

        return create_system(topology, model)

    def identify(self, model: ModelSettings) -> ForceIdentity:
        """Force kind, device and weights as the System gets them; weights are downloaded now if they are not here."""
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
        """That of the network which gives the forces."""
        from orbmm.forces.confidence import open_confidence

        return open_confidence(topology, model)
