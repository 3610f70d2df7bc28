"""Check the stages before the first step, and warn about inputs that are probably not intended."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from openmm import app

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.errors import RunError
from orbmm.run_files.diagnosis import read_diagnosis
from orbmm.settings import Settings
from orbmm.settings.time_step import HYDROGEN_AMU
from orbmm.simulation.start.selection import select_atoms
from orbmm.simulation.system.integrators import check_groups
from orbmm.simulation.system.restraints import make_restraint, shift_mass_to_hydrogens
from orbmm.simulation.system.stage_system import StageSystem


def check_stages(settings: Settings, system: StageSystem) -> None:
    """Raise RunError for missing atoms, a force that no step applies, hydrogens that cannot be made heavier, and
    pressure without a box.
    """
    start = system.start
    for selection in (settings.run.frame_atoms, settings.run.show_rmsd):
        if selection is not None and selection != "all":
            select_atoms(start.topology, selection)
    if any(stage.inner_steps > 1 for stage in settings.stages):
        check_groups(system.system)
    for stage in settings.stages:
        for restraint in stage.restraint:
            make_restraint(restraint, start)
        if stage.hydrogen_mass_amu is not None:
            shift_mass_to_hydrogens(start.topology, system.masses, stage.hydrogen_mass_amu)
        if stage.pressure_bar is not None and start.topology.getPeriodicBoxVectors() is None:
            raise RunError(f"pressure_bar is {stage.pressure_bar:g}, but the structure has no box; remove pressure_bar")


def check_diagnosis(path: Path, weights_sha256: str, topology: app.Topology) -> None:
    """Check that a diagnosis measured these weights and as many atoms of each element, and its long step passed.

    Raises RunError, or AnalysisError for a file that is no diagnosis.
    """
    found = read_diagnosis(path)
    if found.weights_sha256 != weights_sha256:
        raise RunError(f"{path} measured other weights, of {found.model}; run `orbmm diagnose --long-step` again")
    elements = Counter(atom.element.symbol for atom in topology.atoms() if atom.element is not None)
    if not found.elements:
        raise RunError(f"{path} does not say which elements it measured; run `orbmm diagnose --long-step` again")
    if found.elements != elements:
        measured, own = _format_formula(found.elements), _format_formula(elements)
        raise RunError(f"{path} measured {measured}, but the run has {own}; diagnose this system")
    if not found.long_step:
        raise RunError(f"{path} measured no long step; run `orbmm diagnose` with --long-step")
    failed = [each for each in found.long_step if not each.passed]
    if failed:
        raise RunError(
            f"{path} found a {failed[0].name} of {failed[0].value:.3g} {failed[0].unit}, but at most "
            f"{failed[0].threshold:.3g} is allowed; use shorter steps"
        )
    drift = found.long_step[0]
    _LOG.info("%s allows long steps: %s is %+.3f %s", path, drift.name, drift.value, drift.unit)


def _format_formula(elements: Mapping[str, int]) -> str:
    return " ".join(f"{symbol}{count}" for symbol, count in sorted(elements.items()))


_LOG = logging.getLogger(__name__)


def warn_about(settings: Settings, topology: app.Topology, record: CheckpointRecord) -> None:
    """Log a warning for each problem of structure, network or stages that can run but is probably not intended."""
    structure = settings.system.structure
    if not any(atom.element is app.element.hydrogen for atom in topology.atoms()):
        _LOG.warning("%s holds no hydrogen atoms: it may need `orbmm prepare` first", structure)
    if topology.getPeriodicBoxVectors() is None:
        _LOG.warning("%s has no periodic box (a CRYST1 of zeros or 1 Å does not count): it is run in vacuum", structure)
    unknown = sorted(_find_untrained(topology, record))
    if unknown:
        _LOG.warning(
            "%s was not trained on %s in water: expect wrong forces there. %s",
            record.name,
            ", ".join(unknown),
            record.note,
        )
    heaviest = max(stage.hydrogen_mass_amu or 0.0 for stage in settings.stages if stage.kind == "produce")
    if heaviest > HYDROGEN_AMU:
        _LOG.warning(
            "hydrogen_mass_amu is %g: averages of the structure stay the same, but times do not. Proton hops and "
            "the rotation of water become slower; use the usual mass to measure them",
            heaviest,
        )
    if record.kind == "direct" and any(stage.pressure_bar is not None for stage in settings.stages):
        _LOG.warning(
            "%s is a direct model: its forces are not the gradient of its energy, but a barostat uses the energy; "
            "the density may be wrong. Use a conservative model to avoid this",
            record.name,
        )


def _find_untrained(topology: app.Topology, record: CheckpointRecord) -> Iterator[str]:
    """Yield the residues that an embedded network was not trained on; nothing for models without a list of them."""
    if record.residues is not None:
        yield from {residue.name for residue in topology.residues()} - record.residues
