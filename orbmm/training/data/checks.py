"""Refuse labelled frames that would train a wrong network, each with the number of the frame."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.errors import TrainingError
from orbmm.model.network.orb import Orb
from orbmm.training.data.batches import LabelledGraph, join_graphs
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import EV_PER_ANGSTROM_PER_UNIT

OUTLIER_FACTOR = 20.0
"""A frame whose largest force is this many times the root mean square of all is named; it is trained on."""

LARGEST_RMS = 50.0  # [eV/Å]; forces of hot liquids have 1 to 3

LEAST_CORRELATION, LARGEST_SLOPE = 0.7, 2.5
"""Labels that agree in direction with the start's forces, but not in size, are in another unit."""

_LOG = logging.getLogger(__name__)


def check_frames(frames: Sequence[Frame], record: CheckpointRecord, charged: str = "refuse") -> None:
    """Check that frames can be learned from: labels, finite numbers, elements, distances, cells, no frame twice.

    charged: "refuse" or "train", for charged frames of a model that takes no charge
    Raises TrainingError that names the first frame with a fault.
    """
    seen: dict[str, str] = {}
    for frame in frames:
        _check_labels(frame)
        check_structure(frame, record, charged)
        content = hash_structure(frame)
        if content in seen:
            raise TrainingError(f"{frame.source}: is the same structure as {seen[content]}: remove one of the two")
        seen[content] = frame.source
    _check_sizes(frames)


def check_apart(training: Sequence[Frame], validation: Sequence[Frame]) -> None:
    """Check that no structure is both learned and validated on. Raises TrainingError."""
    learned = {hash_structure(frame): frame.source for frame in training}
    for frame in validation:
        twin = learned.get(hash_structure(frame))
        if twin is not None:
            raise TrainingError(f"{frame.source}: is held out for validation, but {twin} of the training is the same")


def check_units(network: Orb, graphs: Sequence[LabelledGraph], force_unit: str) -> None:
    """Check the unit of the label forces against the forces of the network that the training starts from.

    Raises TrainingError, with the unit that would fit, if both agree in direction but not in size.
    """
    predicted, labels = [], []
    for graph in graphs[:20]:
        batch = join_graphs([graph])
        forces = network(batch.graph, frozenset({"forces"})).forces
        if forces is not None:
            predicted.append(forces.detach().numpy().ravel())
            labels.append(batch.forces.numpy().ravel())
    check_force_unit(np.concatenate(predicted), np.concatenate(labels), force_unit)


def check_force_unit(predicted: np.ndarray, labels: np.ndarray, force_unit: str) -> None:
    """Check label forces against those of a network for the same atoms; both are flat arrays [eV/Å].

    force_unit: that the labels were converted from
    Raises TrainingError, with the unit that would fit, if both agree in direction but not in size.
    """
    ours, theirs = predicted.astype(np.float64), labels.astype(np.float64)
    product = float(ours @ theirs)
    correlation = product / max(float(np.sqrt((ours @ ours) * (theirs @ theirs))), 1e-300)
    slope = product / max(float(ours @ ours), 1e-300)
    if correlation < LEAST_CORRELATION or 1 / LARGEST_SLOPE < slope < LARGEST_SLOPE:
        return
    raise TrainingError(
        f"the label forces are {slope:.3g} times those of the network, in the same direction: "
        f'force_unit = "{force_unit}" is probably wrong{_name_likely_unit(slope, force_unit)}'
    )


def _name_likely_unit(slope: float, force_unit: str) -> str:
    """Return the unit whose factor explains the slope, as the end of a sentence; '' if none does."""
    raw = slope / EV_PER_ANGSTROM_PER_UNIT[force_unit]
    near = {unit: abs(np.log(raw * factor)) for unit, factor in EV_PER_ANGSTROM_PER_UNIT.items()}
    best = min(near, key=lambda unit: near[unit])
    return f', "{best}" would fit' if near[best] < np.log(LARGEST_SLOPE) else ""


def _check_labels(frame: Frame) -> None:
    if not frame.is_labelled:
        raise TrainingError(f"{frame.source}: has no energy or no forces: label it first")
    labels = frame.labels
    if labels.forces.shape != frame.positions.shape:
        raise TrainingError(f"{frame.source}: has {len(labels.forces)} forces for {len(frame.positions)} atoms")
    arrays: dict[str, Any] = {"positions": frame.positions, "energy": labels.energy, "forces": labels.forces}
    arrays |= {name: value for name, value in {"cell": frame.cell, "stress": frame.stress}.items() if value is not None}
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise TrainingError(f"{frame.source}: its {name} holds NaN or infinity: compute it again, or remove it")
    if frame.stress is not None and frame.cell is None:
        raise TrainingError(f"{frame.source}: has a stress but no cell, so no volume that it belongs to")


def check_structure(frame: Frame, record: CheckpointRecord, charged: str = "refuse") -> None:
    """Check elements, cell and charge of a frame, which needs no labels; charged as in check_frames.

    Raises TrainingError.
    """
    _check_charge(frame, record, charged)
    if len(frame.atomic_numbers) == 0:
        raise TrainingError(f"{frame.source}: has no atoms")
    strange = [int(number) for number in frame.atomic_numbers if not 1 <= number <= 118]
    if strange:
        raise TrainingError(f"{frame.source}: has atomic number {strange[0]}, expected 1 to 118")
    if frame.cell is not None and not abs(np.linalg.det(frame.cell)) > 1.0:
        raise TrainingError(f"{frame.source}: its cell has no volume: write the lattice vectors, or no periodicity")


def _check_charge(frame: Frame, record: CheckpointRecord, charged: str) -> None:
    if record.takes_charge and (frame.charge is None or frame.multiplicity is None):
        raise TrainingError(
            f"{frame.source}: has no charge or no multiplicity, which {record.name} takes: add both to each frame"
        )
    if not record.takes_charge and frame.charge and charged == "refuse":
        raise TrainingError(
            f"{frame.source}: has charge {frame.charge:+d}, but {record.name} does not take a charge: start from a "
            'model that does, remove charged frames, or set charged_frames = "train" in [data]'
        )


def _check_sizes(frames: Sequence[Frame]) -> None:
    """Refuse label forces that no liquid has, and name frames far beyond the others."""
    largest = np.array([np.abs(frame.labels.forces).max() for frame in frames])
    rms = float(np.sqrt(np.mean(np.concatenate([frame.labels.forces.ravel() for frame in frames]) ** 2)))
    if not 0.0 < rms < LARGEST_RMS:
        raise TrainingError(
            f"the label forces have a root mean square of {rms:.3g} eV/Å, expected about 1: check force_unit in [data]"
        )
    for index in np.flatnonzero(largest > OUTLIER_FACTOR * rms)[:10]:
        _LOG.warning(
            "%s: its largest force is %.1f eV/Å, of %.2f on average", frames[index].source, largest[index], rms
        )


def hash_structure(frame: Frame) -> str:
    """Return the sha256 of elements, positions and cell."""
    digest = hashlib.sha256(frame.atomic_numbers.tobytes())
    digest.update(np.ascontiguousarray(frame.positions).tobytes())
    digest.update(b"" if frame.cell is None else np.ascontiguousarray(frame.cell).tobytes())
    return digest.hexdigest()


def list_elements(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Return the atomic numbers in the frames, in order."""
    return tuple(int(number) for number in np.unique(np.concatenate([frame.atomic_numbers for frame in frames])))


def warn_of_unseen(training: Sequence[Frame], validation: Sequence[Frame]) -> None:
    """Log the elements of the validation that the training does not show."""
    unseen = set(list_elements(validation)) - set(list_elements(training))
    if unseen:
        _LOG.warning("the validation frames hold %s, of which no training frame shows any", describe_elements(unseen))
