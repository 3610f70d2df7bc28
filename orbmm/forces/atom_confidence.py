"""The confidence of a model in its own forces, for each atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_BIN = 255
"""The bin of an atom that the network does not act on."""


@dataclass(frozen=True)
class AtomConfidence:
    """The confidence of each atom.

    bins: (N,), most probable bin of the force error; errors: (N,), expected force error [eV/Å]
    Atoms that the network does not act on have bin 255 and error NaN.
    """

    bins: np.ndarray
    errors: np.ndarray

    @property
    def mean_error(self) -> float:
        """Return the mean expected error of the atoms that the network acts on [eV/Å]."""
        return float(np.nanmean(self.errors))


def judge_atoms(probabilities: np.ndarray, bin_edges: np.ndarray) -> AtomConfidence:
    """Return the most probable bin, and the expected error as the mean of the bin centres.

    probabilities: (N, B); bin_edges: (B + 1,) [eV/Å]
    Errors beyond the last edge were excluded from training, so the last bin does not mean "or larger".
    """
    centres = 0.5 * (bin_edges[1:] + bin_edges[:-1])
    return AtomConfidence(np.argmax(probabilities, axis=1).astype(np.uint8), probabilities @ centres)
