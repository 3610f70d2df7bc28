"""Choose the frames that are most worth a label: where the network expects errors or two disagree, and each another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from orbmm.errors import StructureError, TrainingError
from orbmm.graph.edges import find_edges
from orbmm.model.potential import NumpyPrediction, Potential
from orbmm.training.data.checks import check_structure
from orbmm.training.data.frames import Frame
from orbmm.training.labels.label import LARGEST_FORCE_EV_ANGSTROM

RADII_ANGSTROM = np.linspace(0.9, 4.5, 13)
WIDTH_ANGSTROM = 0.3
"""Surroundings of an atom are compared by how many atoms of each element are at these distances, within this width."""


@dataclass(frozen=True)
class Candidate:
    """A frame that may be chosen. error: expected for its worst atom [eV/Å]; surroundings: (S,) of that atom"""

    frame: Frame
    error: float
    surroundings: np.ndarray


@dataclass(frozen=True)
class Choice:
    """The result of a choice.

    picked: in the order of their choice; errors: (P,) of each [eV/Å], all_errors: (F,) of all frames that were judged
    left_out: frames that nobody should label: overlapping atoms, or forces beyond those that `orbmm label` keeps
    """

    picked: list[Frame]
    errors: np.ndarray
    all_errors: np.ndarray
    left_out: int


def choose_frames(
    frames: Sequence[Frame],
    model: Potential,
    count: int,
    other: Potential | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Choice:
    """Choose frames one after the other: each time the one with the largest product of error and distance.

    The error of a frame is that of its worst atom: what the confidence head of the model expects, or the difference
    between both models, whichever is larger. Only the quarter with the largest errors takes part, or twice as many as
    are asked for. The distance is that of its worst atom's surroundings to the nearest of those already chosen.

    other: a second model. Raises TrainingError if there is nothing to judge by.
    """
    if other is None and "confidence" not in model.network.heads:
        raise TrainingError(f"{model.record.name} has no confidence head: give a second model with --compare")
    if not frames:
        raise TrainingError("there are no frames to choose from")
    elements = np.unique(np.concatenate([frame.atomic_numbers for frame in frames]))
    candidates: list[Candidate] = []
    for done, frame in enumerate(frames, start=1):
        errors = estimate_errors(frame, model, other)
        if errors is not None:
            worst = int(errors.argmax())
            candidates.append(Candidate(frame, float(errors[worst]), describe_surroundings(frame, worst, elements)))
        on_progress(done)
    if not candidates:
        raise TrainingError(f"none of {len(frames)} frames can be labelled: atoms overlap, or forces are too large")
    order = order_candidates(candidates, min(count, len(candidates)))
    all_errors = np.array([candidate.error for candidate in candidates])
    picked = [candidates[index].frame for index in order]
    return Choice(picked, all_errors[order], all_errors, len(frames) - len(candidates))


def estimate_errors(frame: Frame, model: Potential, other: Potential | None) -> np.ndarray | None:
    """Return the expected mean error of a force component for each atom (N,) [eV/Å]; None for a broken frame.

    A network that takes no charge judges charged frames by their atoms. Raises TrainingError for a missing charge,
    StructureError for an element that a network does not know.
    """
    for potential in (model, other):
        if potential is not None:
            check_structure(frame, potential.record, charged="train")
            potential.compose(frame.atomic_numbers, **_list_known(frame, potential))  # refuses unknown elements
    try:
        first = _predict(frame, model)
        second = None if other is None else _predict(frame, other)
    except StructureError:  # overlapping atoms
        return None
    if not np.abs(first.forces).max() <= LARGEST_FORCE_EV_ANGSTROM:  # NaN is not
        return None
    errors = np.zeros(len(frame.atomic_numbers))
    if first.confidence is not None:
        edges = model.network.get_buffer("heads.confidence.bin_edges").cpu().double().numpy()
        errors = first.confidence @ (0.5 * (edges[1:] + edges[:-1]))
    if second is not None:
        errors = np.maximum(errors, np.abs(first.forces - second.forces).mean(axis=1))
    return errors


def _predict(frame: Frame, model: Potential) -> NumpyPrediction:
    return model.predict(frame.atomic_numbers, frame.positions, frame.cell, **_list_known(frame, model))


def _list_known(frame: Frame, model: Potential) -> dict[str, int | None]:
    """Return charge and multiplicity of a frame, for a model that takes them."""
    return {"charge": frame.charge, "multiplicity": frame.multiplicity} if model.record.takes_charge else {}


def describe_surroundings(frame: Frame, atom: int, elements: np.ndarray) -> np.ndarray:
    """Return how many atoms of each element are at which distance of an atom, and its own element: (S,)."""
    positions = torch.from_numpy(frame.positions)
    cell = None if frame.cell is None else torch.from_numpy(frame.cell)
    edges = find_edges(positions, cell, float(RADII_ANGSTROM[-1]), None)
    mine = edges.senders == atom
    distances = torch.linalg.vector_norm(edges.vectors(positions, cell)[mine], dim=1).numpy()  # (M,)
    near = np.exp(-0.5 * ((distances[:, None] - RADII_ANGSTROM) / WIDTH_ANGSTROM) ** 2)  # (M, R)
    kinds = frame.atomic_numbers[edges.receivers[mine].numpy()]
    counts = [near[kinds == element].sum(axis=0) for element in elements]
    own = 3.0 * (elements == frame.atomic_numbers[atom])
    return np.concatenate([*counts, own])


def order_candidates(candidates: Sequence[Candidate], count: int) -> list[int]:
    """Return the indices of the chosen, that with the largest error first."""
    errors = np.array([candidate.error for candidate in candidates])
    too_small = np.argsort(-errors, kind="stable")[max(2 * count, len(candidates) // 4) :]
    surroundings = np.stack([candidate.surroundings for candidate in candidates])
    chosen = [int(errors.argmax())]
    distances = np.full(len(candidates), np.inf)
    while len(chosen) < count:
        distances = np.minimum(distances, np.linalg.norm(surroundings - surroundings[chosen[-1]], axis=1))
        score = errors * distances
        score[too_small] = 0.0
        best = int(score.argmax())
        if score[best] <= 0.0:  # only copies of what is chosen are left
            break
        chosen.append(best)
    return chosen
