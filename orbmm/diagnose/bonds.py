"""Bonds by distance, and elements or numbers of neighbours that a network has not seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from orbmm.checkpoints.catalog import CheckpointRecord, element_symbol
from orbmm.diagnose.field import Place
from orbmm.graph.edges import find_edges
from orbmm.model.network.repulsion import read_covalent_radii
from orbmm.run_files.diagnosis import Diagnostic

STRETCH = 1.3
"""A pair is bonded up to so many times the sum of its covalent radii: 1.26 Å for O-H, which reaches 1.24 Å at 300 K."""


def find_bonds(atomic_numbers: np.ndarray, place: Place) -> np.ndarray:
    """Return all bonds in both directions, (B, 2)."""
    radii = np.array(read_covalent_radii())[atomic_numbers]  # (N,)
    cell = None if place.cell is None else torch.from_numpy(np.array(place.cell))
    positions = torch.from_numpy(np.array(place.positions))
    edges = find_edges(positions, cell, 2.0 * STRETCH * float(radii.max()), None)
    lengths = np.linalg.norm(edges.vectors(positions, cell).numpy(), axis=1)
    ends = np.stack([edges.senders.numpy(), edges.receivers.numpy()], axis=1)
    return ends[lengths < STRETCH * radii[ends].sum(axis=1)]


def count_unseen(atomic_numbers: np.ndarray, place: Place, record: CheckpointRecord) -> Diagnostic:
    """Return the share of the atoms whose element, or whose number of bonds, is absent from the training data.

    Numbers of bonds are known of the embedded networks only.
    """
    kinds: Counter[str] = Counter()
    coordination = np.bincount(find_bonds(atomic_numbers, place)[:, 0], minlength=len(atomic_numbers))
    for number, bonds in zip(atomic_numbers.tolist(), coordination.tolist(), strict=True):
        if number not in record.elements:
            kinds[element_symbol(number)] += 1
        elif record.bonds is not None and bonds not in record.bonds.get(number, {bonds}):
            kinds[f"{element_symbol(number)} with {bonds} bond{'' if bonds == 1 else 's'}"] += 1
    what = "elements and numbers of bonds" if record.bonds is not None else "elements"
    return Diagnostic(
        "atoms unlike the training data",
        100.0 * sum(kinds.values()) / len(atomic_numbers),
        "% of the atoms",
        0.0,
        f"{what} that were not in the training data; a network says nothing about these",
        {"kinds": dict(kinds)},
    )
