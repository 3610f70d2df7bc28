"""A plain warning where the embedded networks meet what they were not trained on."""

from __future__ import annotations

import logging

from openmm import app

from orbmm.checkpoints.catalog import CheckpointRecord

_LOG = logging.getLogger(__name__)

TRAINED_RESIDUES = frozenset({"HOH", "ACE", "NME", "ALA", "GLY", "SER"})
"""What the embedded networks saw solvated and periodic."""


def warn_untrained(topology: app.Topology, record: CheckpointRecord) -> None:
    """Log one warning that lists the residues unknown to an embedded network; published models cover far more."""
    if record.file is None:
        return
    unknown = sorted({residue.name for residue in topology.residues()} - TRAINED_RESIDUES)
    if unknown:
        _LOG.warning(
            "%s was not trained on %s in water: expect wrong forces there. %s",
            record.name,
            ", ".join(unknown),
            record.note,
        )
