"""Measure all diagnostics of a network on a structure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orbmm.diagnose.bonds import count_unseen
from orbmm.diagnose.confidence import measure_confidence
from orbmm.diagnose.consistency import measure_lines, measure_loops
from orbmm.diagnose.field import NetworkField, Place
from orbmm.diagnose.heating import LARGEST_HEATING, Protocol, measure_heating, measure_long_step
from orbmm.diagnose.jacobian import measure_asymmetry
from orbmm.diagnose.labels import LabelFile, find_bin_edges, measure_labels
from orbmm.diagnose.pair import measure_pair
from orbmm.diagnose.rotation import measure_rotational_gradient, measure_rotations
from orbmm.diagnose.subject import read_frames
from orbmm.errors import ModelError, OrbmmError
from orbmm.first_contact.load import load_model
from orbmm.model.potential import Potential
from orbmm.run_files.diagnosis import Diagnosis, Diagnostic
from orbmm.settings.time_step import HEAVIEST_HYDROGEN_AMU
from orbmm.training.dataset import Frame

if TYPE_CHECKING:
    from ase import Atoms

LONG_STEP = Protocol(timestep_fs=2.0, length_ps=1.0, hydrogen_amu=HEAVIEST_HYDROGEN_AMU)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    orientations: of the rotational gradient, at least 8; rotations: of the energy and forces; probes: of the Jacobian
    heating_ps: length of the dynamics without a thermostat [ps], 0 for none
    long_step: measure a time step of 2 fs with hydrogens of 4 g/mol for 1 ps too
    """

    orientations: int = 24
    rotations: int = 24
    lines: int = 8
    loops: int = 4
    probes: int = 2
    heating_ps: float = 0.1
    long_step: bool = False


def diagnose_model(
    model: str | Potential,
    structure: Frame | Atoms | str | PathLike[str] | Sequence[Frame | Atoms],
    compare: str | Potential | None = None,
    labels: str | PathLike[str] | LabelFile | None = None,
    plan: Plan | None = None,
) -> Diagnosis:
    """Measure invariance, conservation, heating and confidence of a network on a structure, and judge them.

    model: a name, which is loaded in float64, or a loaded model in its own precision
    structure: a PDB or mmCIF file, a system.toml, atoms of ASE, or several of these; the first is measured in full, the
    others only add to the confidence and to the search for unknown elements and bonds
    compare: a second network, such as the direct one of a pair; labels: a file of labelled frames, in eV and eV/Å unless
    it is a LabelFile
    Raises ModelError, StructureError or TrainingError for what cannot be measured at all.
    """
    frames = read_frames(Path(structure) if isinstance(structure, PathLike) else structure)
    potential = _load(model)
    measurement = _Measurement(potential, frames, plan or Plan())
    measurement.measure_network()
    if compare is not None:
        measurement.add(measure_pair(measurement.field, NetworkField(_load(compare), frames[0]), measurement.place, measurement.numbers))
    if labels is not None:
        file = labels if isinstance(labels, LabelFile) else LabelFile(Path(labels))
        for diagnostic in measure_labels(potential, file):
            measurement.add(diagnostic)
    return measurement.finish()


def _load(model: str | Potential) -> Potential:
    if isinstance(model, Potential):
        return model
    if not isinstance(model, str):
        raise ModelError(f"a model must be a name or a loaded model, got {type(model).__name__}")
    return load_model(model, precision="float64")
