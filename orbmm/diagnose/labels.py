"""Errors against labels: forces by element and by group, energies, and the calibration of the confidence head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orbmm.checkpoints.catalog import element_symbol
from orbmm.diagnose.confidence import measure_calibration
from orbmm.diagnose.field import NetworkField, Place
from orbmm.model.potential import Potential
from orbmm.run_files.diagnosis import Diagnostic
from orbmm.settings.training import DataSettings
from orbmm.training.data.checks import check_force_unit, check_frames
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import read_file

LARGEST_FORCE_ERROR = 10.0  # [%] of the mean absolute label force
LARGEST_ENERGY_ERROR = 2.0  # [meV/atom]


@dataclass(frozen=True)
class LabelFile:
    """A file of labelled frames with the units of its labels, as in [data] of a training."""

    path: Path
    energy_unit: str = "eV"
    force_unit: str = "eV/Å"

    def read(self) -> list[Frame]:
        """Read the frames. Raises TrainingError or SettingsError for a file or unit that cannot be used."""
        settings = DataSettings(training=(self.path,), energy_unit=self.energy_unit, force_unit=self.force_unit)
        return read_file(self.path, settings)


@dataclass(frozen=True)
class _Compared:
    """One frame beside its labels. forces: (N, 3) errors [eV/Å]; energy: error [eV/atom]; confidence: (N, B) or None"""

    frame: Frame
    forces: np.ndarray
    energy: float
    confidence: np.ndarray | None

    @property
    def atom_errors(self) -> np.ndarray:
        """Return the mean absolute error of the components of each atom, (N,) [eV/Å], as the confidence head does."""
        return np.abs(self.forces).mean(axis=1)


def measure_labels(potential: Potential, labels: LabelFile) -> list[Diagnostic]:
    """Return the diagnostics of labelled frames.

    Raises TrainingError for frames without labels, unknown elements, or label forces in another unit.
    """
    frames = labels.read()
    check_frames(frames, potential.record)
    found = [_compare(potential, frame) for frame in frames]
    forces = np.concatenate([each.frame.labels.forces.ravel() for each in found])
    check_force_unit(forces + np.concatenate([each.forces.ravel() for each in found]), forces, labels.force_unit)
    diagnostics = [_judge_forces(found, forces)]
    if len(found) > 1:
        diagnostics.append(_judge_energies(found))
    probabilities = [each.confidence for each in found if each.confidence is not None]
    if len(probabilities) == len(found):
        errors = np.concatenate([each.atom_errors for each in found])
        diagnostics.append(measure_calibration(np.concatenate(probabilities), find_bin_edges(potential), errors))
    return diagnostics


def find_bin_edges(potential: Potential) -> np.ndarray:
    """Return the edges (B + 1,) [eV/Å] of the bins of a confidence head."""
    return potential.network.get_buffer("heads.confidence.bin_edges").detach().cpu().double().numpy()


def _compare(potential: Potential, frame: Frame) -> _Compared:
    field, place = NetworkField(potential, frame), Place(frame.positions, frame.cell)
    found = field.evaluate(place)
    energy = (found.energy - frame.labels.energy) / len(frame.atomic_numbers)
    return _Compared(frame, found.forces - frame.labels.forces, energy, field.find_confidence(place))


def _judge_forces(found: Sequence[_Compared], labels: np.ndarray) -> Diagnostic:
    errors = np.concatenate([each.atom_errors for each in found])
    numbers = np.concatenate([each.frame.atomic_numbers for each in found])
    groups = np.concatenate([np.full(len(each.frame.atomic_numbers), each.frame.group) for each in found])
    by_element = {element_symbol(int(one)): 1000.0 * float(errors[numbers == one].mean()) for one in np.unique(numbers)}
    return Diagnostic(
        "force error against labels",
        100.0 * float(errors.mean()) / float(np.abs(labels).mean()),
        "% of the force",
        LARGEST_FORCE_ERROR,
        "mean absolute error beside the mean size of the label forces; a choice, not a law",
        {
            "frames": len(found),
            "mean_mev_per_angstrom": 1000.0 * float(errors.mean()),
            "median_mev_per_angstrom": 1000.0 * float(np.median(errors)),
            "by_element_mev_per_angstrom": by_element,
            "by_group_mev_per_angstrom": {
                str(one): 1000.0 * float(errors[groups == one].mean()) for one in np.unique(groups)
            },
        },
    )


def _judge_energies(found: Sequence[_Compared]) -> Diagnostic:
    errors = 1000.0 * np.array([each.energy for each in found])  # (F,) [meV/atom]
    return Diagnostic(
        "energy error against labels",
        float(np.abs(errors - errors.mean()).mean()),
        "meV/atom",
        LARGEST_ENERGY_ERROR,
        "the aim of the embedded networks; mean absolute error, less the mean difference, as zeros differ",
        {
            "mean_difference_mev_per_atom": float(errors.mean()),
            "median_mev_per_atom": float(np.median(np.abs(errors - errors.mean()))),
        },
    )
