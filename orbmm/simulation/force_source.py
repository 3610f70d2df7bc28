"""The interface between a run and its forces: the System of a topology, and the identity of the forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import openmm
from openmm import app

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.forces.confidence import AtomConfidence
from orbmm.settings import ModelSettings

if TYPE_CHECKING:
    from orbmm.forces.resolve import ResolvedModel
    from orbmm.simulation.start.structure import Structure


@dataclass(frozen=True)
class ForceIdentity:
    """The description of the forces in run.json. A run is only resumed with weights of the same hash.

    first_contact: the comparison of a GPU with the CPU; None on a CPU, or if it was skipped
    fast_weights_sha256: of the fast model of multiple time steps, None without one
    weights_proof: how far the weights were compared with published values, in words
    """

    kind: str
    device: str
    weights_sha256: str
    first_contact: dict[str, Any] | None = None
    fast_weights_sha256: str | None = None
    weights_proof: str = "not compared with published values"


class ConfidenceSource(Protocol):
    """A source of expected force errors. bin_edges: (B + 1,) [eV/Å]"""

    bin_edges: np.ndarray

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Return the confidence at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None."""
        ...


class RotationSource(Protocol):
    """A source of the rotational gradient."""

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> float:
        """Return its norm [kJ/mol] at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None."""
        ...


class Forces(Protocol):
    """The forces of one run, with nothing left open.

    model: the settings as they are saved; record: of the model in the catalogue
    """

    model: ModelSettings
    record: CheckpointRecord

    @property
    def identity(self) -> ForceIdentity:
        """Return the force kind, device and weights; missing weights are downloaded and proved now."""
        ...

    def create_system(self, topology: app.Topology) -> openmm.System:
        """Return a System with all masses and forces."""
        ...

    def open_confidence(self, topology: app.Topology) -> ConfidenceSource | None:
        """Return the confidence beside these forces, None if there is none."""
        ...

    def open_rotation(self, topology: app.Topology) -> RotationSource | None:
        """Return the rotational gradient beside these forces, None where it is not free."""
        ...


class ForceSource(Protocol):
    """A source of forces for a topology. The code of a run does not depend on networks."""

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> Forces:
        """Return the forces of a run. steps: that it begins with, None for a resumed run, which decides nothing."""
        ...


class NetworkForces:
    """The network that the settings name. It is imported when it is needed, so that reading a run needs no torch."""

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> Forces:
        """Resolve all that the settings leave open; see orbmm.forces.tuned and orbmm.forces.resolve."""
        from orbmm.forces.resolve import resolve_for_run
        from orbmm.forces.tuned import tune_for_run

        if steps is not None:
            model = tune_for_run(model, start.topology, start.positions, steps)
        return _Network(resolve_for_run(model, len(start.positions), steps))


class _Network:
    def __init__(self, resolved: ResolvedModel) -> None:
        self._resolved = resolved
        self.model, self.record = resolved.settings, resolved.record

    @property
    def identity(self) -> ForceIdentity:
        from orbmm.forces.evaluator_cache import find_contact
        from orbmm.model.load import check_proof

        resolved = self._resolved
        sha256, contact = resolved.weights.sha256, None
        if resolved.device.type == "cuda" and self.model.first_contact == "check":
            contact = find_contact(sha256, self.model.precision, resolved.execution)
        found = None if contact is None else contact.to_dict()
        fast = None if resolved.fast is None else resolved.fast.weights.sha256
        proof = check_proof(resolved.record, resolved.weights)
        return ForceIdentity(resolved.kind.name, str(resolved.device), sha256, found, fast, proof)

    def create_system(self, topology: app.Topology) -> openmm.System:
        from orbmm.forces.attach import create_system

        return create_system(topology, self._resolved)

    def open_confidence(self, topology: app.Topology) -> ConfidenceSource | None:
        from orbmm.forces.confidence import open_confidence

        return open_confidence(topology, self._resolved)

    def open_rotation(self, topology: app.Topology) -> RotationSource | None:
        from orbmm.forces.rotation import open_rotation

        return open_rotation(topology, self._resolved)
