"""Reference energies are those that the labels were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orbmm.training.data.frames import Frame
from orbmm.training.start.statistics import fit_reference_energies, solve_composition


def test_reference_energies_of_a_sum_of_atoms_are_found(frames: list[Frame]) -> None:
    exact = [replace(frame, energy=float(-10.0 * len(frame.atomic_numbers))) for frame in frames]
    reference, mean = fit_reference_energies(exact)
    total = reference[frames[0].atomic_numbers].sum() + mean * len(frames[0].atomic_numbers)
    assert total == pytest.approx(exact[0].energy, abs=1e-3)


def test_the_energy_of_each_element_is_found_from_several_compositions() -> None:
    counts = np.zeros((4, 118), dtype=int)
    counts[:, 1], counts[:, 8] = [2, 4, 2, 0], [1, 1, 2, 3]
    solved = solve_composition(counts, counts @ np.where(np.arange(118) == 1, -13.0, -430.0))
    assert solved[1] == pytest.approx(-13.0, abs=2e-3) and solved[8] == pytest.approx(-430.0, abs=2e-3)
    assert not solved[np.setdiff1d(np.arange(118), [1, 8])].any()
