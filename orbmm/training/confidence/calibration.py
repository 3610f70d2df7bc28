"""Calibration of a confidence head: the errors that it expects beside the true ones, atom by atom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr
from torch import Tensor

from orbmm.model.network.orb import Orb
from orbmm.training.confidence.head import compute_atom_errors, expect_errors, require_head
from orbmm.training.data.batches import LabelledGraph

BINS = 15
ATOMS_OF_A_BIN = 100
"""Bins with fewer atoms are not judged."""


@dataclass(frozen=True)
class Bin:
    """The atoms whose expected error lies between two edges; their mean expected and true errors; all [meV/Å]."""

    begin_mev_per_angstrom: float
    end_mev_per_angstrom: float
    atoms: int
    expected_mev_per_angstrom: float
    true_mev_per_angstrom: float


@dataclass(frozen=True)
class Calibration:
    """The expected errors of some atoms beside the true ones.

    expected, true: means; rank: Spearman correlation over the atoms, None where one of them is constant
    large: atoms with a true error beyond the last edge of the head; the mean of its bins cannot reach so far
    flagged: share of these whose expected error is beyond half of it, None without such atoms
    false_alarms: share of all other atoms that are flagged too, None without others
    bins: by expected error, those that hold atoms
    """

    atoms: int
    expected_mev_per_angstrom: float
    true_mev_per_angstrom: float
    rank: float | None
    large: int
    flagged: float | None
    false_alarms: float | None
    bins: tuple[Bin, ...]

    @property
    def ratio(self) -> float | None:
        """Return the mean expected error over the true one; None where no atom has an error."""
        true = self.true_mev_per_angstrom
        return self.expected_mev_per_angstrom / true if true else None

    @property
    def is_monotonic(self) -> bool:
        """Return True if the true error rises from bin to bin, over those with enough atoms."""
        judged = [one.true_mev_per_angstrom for one in self.bins if one.atoms >= ATOMS_OF_A_BIN]
        return all(before < after for before, after in pairwise(judged))


@dataclass(frozen=True)
class Recalibration:
    """The calibration of the confidence before and after it was refitted, by kind of frames."""

    before: dict[str, Calibration]
    after: dict[str, Calibration]


def measure_calibration(network: Orb, graphs: Sequence[LabelledGraph]) -> Calibration:
    """Return the calibration of a network on labelled frames. Raises TrainingError for one without the head."""
    atoms = compute_atom_errors(network, graphs)
    head = require_head(network)
    last = float(head.bin_edges[-1])
    return compare_errors(_as_array(expect_errors(head, atoms.features)), _as_array(atoms.errors), last)


def _as_array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def compare_errors(expected: np.ndarray, true: np.ndarray, last_edge: float) -> Calibration:
    """Return the calibration of expected errors (N,) and true ones (N,) [eV/Å]. last_edge: of the head [eV/Å]."""
    large, flagged = true > last_edge, expected > 0.5 * last_edge
    varied = len(expected) > 2 and np.ptp(expected) > 0.0 and np.ptp(true) > 0.0
    return Calibration(
        atoms=len(expected),
        expected_mev_per_angstrom=1000.0 * float(expected.mean()),
        true_mev_per_angstrom=1000.0 * float(true.mean()),
        rank=float(spearmanr(expected, true).statistic) if varied else None,
        large=int(large.sum()),
        flagged=_share(flagged[large]),
        false_alarms=_share(flagged[~large]),
        bins=tuple(_fill_bins(expected, true, np.linspace(0.0, last_edge, BINS + 1))),
    )


def _share(chosen: np.ndarray) -> float | None:
    return float(chosen.mean()) if len(chosen) else None


def _fill_bins(expected: np.ndarray, true: np.ndarray, edges: np.ndarray) -> list[Bin]:
    place = np.clip(np.searchsorted(edges, expected, side="right") - 1, 0, len(edges) - 2)  # (N,)
    return [
        Bin(
            begin_mev_per_angstrom=1000.0 * float(edges[index]),
            end_mev_per_angstrom=1000.0 * float(edges[index + 1]),
            atoms=int((place == index).sum()),
            expected_mev_per_angstrom=1000.0 * float(expected[place == index].mean()),
            true_mev_per_angstrom=1000.0 * float(true[place == index].mean()),
        )
        for index in np.unique(place)
    ]
