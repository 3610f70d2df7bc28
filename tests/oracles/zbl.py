"""The ZBL repulsion as a closed formula for one pair, in plain NumPy: nothing is shared with orbmm."""

from __future__ import annotations

import numpy as np

# Cordero et al., Dalton Trans. 2832 (2008), by atomic number [Å]: the elements of the tests and the ones after them.
COVALENT_RADII = {1: 0.31, 2: 0.28, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 12: 1.41, 13: 1.21, 30: 1.22, 31: 1.22}


def evaluate_pair(first: int, second: int, distance: float, offset: int = 1) -> float:
    """Repulsion of two atoms [eV] at a distance [Å]; offset: added to both atomic numbers.

    Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (1985), times a polynomial of the power 6 that
    is zero from the sum of the covalent radii on.
    """
    charge_1, charge_2 = first + offset, second + offset
    reach = COVALENT_RADII[charge_1] + COVALENT_RADII[charge_2]
    if distance >= reach:
        return 0.0
    x = distance * (charge_1**0.3 + charge_2**0.3) / (0.4543 * 0.529)
    screening = (
        0.1818 * np.exp(-3.2 * x)
        + 0.5099 * np.exp(-0.9423 * x)
        + 0.2802 * np.exp(-0.4028 * x)
        + 0.02817 * np.exp(-0.2016 * x)
    )
    u = distance / reach
    envelope = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
    return 14.3996 * charge_1 * charge_2 / distance * screening * envelope


def evaluate_molecule(atomic_numbers: np.ndarray, positions: np.ndarray, offset: int = 1) -> float:
    """Repulsion of all pairs of a molecule [eV]; positions: (N, 3) [Å]."""
    pairs = zip(*np.triu_indices(len(positions), k=1), strict=True)
    return sum(
        evaluate_pair(atomic_numbers[i], atomic_numbers[j], float(np.linalg.norm(positions[i] - positions[j])), offset)
        for i, j in pairs
    )
