"""Whether the model still knows what it is doing: its own estimate of its force errors, against that of the start."""

from __future__ import annotations

import numpy as np
from openmm import app

from orbmm.forces.atom_confidence import AtomConfidence
from orbmm.simulation.guard.atom_names import name_atoms


class ConfidenceWatch:
    """The mean expected error of all atoms, and how far it may grow."""

    def __init__(self, topology: app.Topology, factor: float, reference: float | None) -> None:
        """reference: the mean at the start [eV/Å]; None takes the first that is seen."""
        self._topology = topology
        self._factor = factor
        self._reference = reference

    def find_fault(self, confidence: AtomConfidence) -> str | None:
        """A sentence about errors that have grown too much, or None."""
        mean = confidence.mean_error
        if self._reference is None:
            self._reference = mean
        if mean <= self._factor * self._reference:
            return None
        worst = name_atoms(self._topology, [int(np.nanargmax(confidence.errors))])
        return (
            f"the model expects force errors of {mean:.3f} eV/Å on average, {mean / self._reference:.1f} times those of "
            f"the start and above the limit of {self._factor:g} times: it does not know this structure; worst is {worst}"
        )
