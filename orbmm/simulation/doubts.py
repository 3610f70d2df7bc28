"""What can be run but may not be what was meant: told when nothing is in the way, so that an error stands alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from openmm import app

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.settings import Settings

_LOG = logging.getLogger(__name__)

TRAINED_RESIDUES = frozenset({"HOH", "ACE", "NME", "ALA", "GLY", "SER"})
"""What the embedded networks saw solvated and periodic."""


def tell_doubts(settings: Settings, topology: app.Topology, record: CheckpointRecord) -> None:
    """Log one warning for each thing about structure, network and stages that seldom ends well."""
    structure = settings.system.structure
    if not any(atom.element is app.element.hydrogen for atom in topology.atoms()):
        _LOG.warning("%s holds no hydrogen atoms: it may need `orbmm prepare` first", structure)
    if topology.getPeriodicBoxVectors() is None:
        _LOG.warning("%s has no periodic box, for a CRYST1 of zeros or 1 Å is none: it is run in vacuum", structure)
    unknown = sorted(_find_untrained(topology, record))
    if unknown:
        _LOG.warning(
            "%s was not trained on %s in water: expect wrong forces there. %s",
            record.name,
            ", ".join(unknown),
            record.note,
        )
    if record.kind == "direct" and any(stage.pressure_bar is not None for stage in settings.stages):
        _LOG.warning(
            "%s is a direct model: its forces are not the gradient of its energy, and a barostat goes by the energy; "
            "the density may come out wrong. A conservative model has no such doubt",
            record.name,
        )


def _find_untrained(topology: app.Topology, record: CheckpointRecord) -> Iterator[str]:
    """Residues unknown to an embedded network; published models, which are no file of the package, cover far more."""
    if record.file is not None:
        yield from {residue.name for residue in topology.residues()} - TRAINED_RESIDUES
