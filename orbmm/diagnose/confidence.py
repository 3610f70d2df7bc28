"""Confidence: the force errors that a network expects of itself, and, with labels, whether it is too sure."""

from __future__ import annotations

import numpy as np

from orbmm.checkpoints.catalog import element_symbol
from orbmm.run_files.diagnosis import Diagnostic

UNSURE_EV_PER_ANGSTROM = 0.1
LARGEST_SHARE = 10.0  # [%]
LARGEST_TAIL = 20.0  # [%]


def measure_confidence(probabilities: np.ndarray, bin_edges: np.ndarray, atomic_numbers: np.ndarray) -> Diagnostic:
    """Return the share of the atoms whose expected force error is above 0.1 eV/Å.

    probabilities: (N, B); bin_edges: (B + 1,) [eV/Å]
    """
    expected = expect_errors(probabilities, bin_edges)
    edges = np.array([0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, np.inf])
    counts, _ = np.histogram(expected, edges)
    by_element = {
        element_symbol(int(number)): float(np.median(expected[atomic_numbers == number]))
        for number in np.unique(atomic_numbers)
    }
    return Diagnostic(
        "atoms with an expected error above 0.1 eV/Å",
        100.0 * float((expected > UNSURE_EV_PER_ANGSTROM).mean()),
        "% of the atoms",
        LARGEST_SHARE,
        "an expected error does not grow beyond 0.15 eV/Å where the true one is many times larger, so count such atoms",
        {
            "median_ev_per_angstrom": float(np.median(expected)),
            "median_by_element_ev_per_angstrom": by_element,
            "histogram_from_ev_per_angstrom": edges[:-1].tolist(),
            "histogram_atoms": counts.tolist(),
        },
    )


def expect_errors(probabilities: np.ndarray, bin_edges: np.ndarray) -> np.ndarray:
    """Return the expected force error of each atom (N,) [eV/Å], the mean of the bin centres."""
    return probabilities @ (0.5 * (bin_edges[1:] + bin_edges[:-1]))


def find_pit(probabilities: np.ndarray, bin_edges: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the probability integral transform (N,): the predicted probability of an error below the true one.

    errors: (N,) [eV/Å], mean of the components of each atom. The transform of a calibrated head is uniform in 0 to 1.
    """
    sums = np.concatenate([np.zeros((len(errors), 1)), np.cumsum(probabilities, axis=1)], axis=1)  # (N, B + 1)
    bins = np.clip(np.searchsorted(bin_edges, errors, side="right") - 1, 0, len(bin_edges) - 2)
    share = np.clip((errors - bin_edges[bins]) / (bin_edges[bins + 1] - bin_edges[bins]), 0.0, 1.0)
    rows = np.arange(len(errors))
    return np.where(errors >= bin_edges[-1], 1.0, sums[rows, bins] + share * probabilities[rows, bins])


def measure_calibration(probabilities: np.ndarray, bin_edges: np.ndarray, errors: np.ndarray) -> Diagnostic:
    """Return the share of the atoms whose true error is in the highest tenth that the head predicted for them.

    It is 10 % for a calibrated head and more for one that is too sure. Shapes as for find_pit.
    """
    pit, expected = find_pit(probabilities, bin_edges, errors), expect_errors(probabilities, bin_edges)
    order = np.array_split(np.argsort(expected), 5)
    return Diagnostic(
        "true errors in the highest predicted tenth",
        100.0 * float((pit > 0.9).mean()),
        "% of the atoms",
        LARGEST_TAIL,
        "10 % for a calibrated confidence head; twice as many mean that it is too sure",
        {
            "pit_deciles": (np.histogram(pit, np.linspace(0.0, 1.0, 11))[0] / len(pit)).tolist(),
            "median_expected_ev_per_angstrom": float(np.median(expected)),
            "median_true_ev_per_angstrom": float(np.median(errors)),
            "fifths_expected_ev_per_angstrom": [float(expected[part].mean()) for part in order if len(part)],
            "fifths_true_median_ev_per_angstrom": [float(np.median(errors[part])) for part in order if len(part)],
        },
    )
