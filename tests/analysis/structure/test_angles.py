"""Bond angles against the start."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_box, make_trajectory

from orbmm.analysis import compute_angles
from orbmm.analysis.result import NothingToMeasure
from orbmm.analysis.structure.angles import list_angles


def measure_by_hand(xyz: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Angles (F, A) [degrees] from unwrapped positions, by the law of cosines."""
    left, middle, right = (xyz[:, triples[:, i]].astype(float) for i in range(3))
    a, b = np.linalg.norm(left - middle, axis=2), np.linalg.norm(right - middle, axis=2)
    return np.degrees(np.arccos((a**2 + b**2 - np.linalg.norm(right - left, axis=2) ** 2) / (2.0 * a * b)))


def test_every_angle_of_peptide_and_water_is_listed() -> None:
    """ACE-ALA-NME: 6 at each of four sp3 carbons, 3 at each of two carbonyls and two nitrogens; one in a water."""
    triples = list_angles(make_box(5).topology)
    assert len(triples) == 4 * 6 + 4 * 3 + 5 and len(np.unique(triples, axis=0)) == len(triples)
    assert (triples[:, 0] < triples[:, 2]).all()


def test_changes_are_those_of_the_law_of_cosines_across_the_walls() -> None:
    moving = make_trajectory(Jiggle(frames=6, shake_nm=0.004), waters=20)
    triples = list_angles(moving.topology)
    angles = measure_by_hand(moving.make_molecules_whole().xyz, triples)
    result = compute_angles(moving)
    change = angles - angles[0]
    np.testing.assert_allclose(result.values["change"], np.sqrt((change**2).mean(axis=1)), atol=0.02)
    np.testing.assert_allclose(result.values["largest_change"], np.abs(change).max(axis=1), atol=0.1)
    np.testing.assert_allclose(result.values["mean_change"], change.mean(axis=0), atol=0.1)
    assert result.values["change"][1:].min() > 1.0


def test_a_water_that_opens_is_named() -> None:
    moving = make_trajectory(Jiggle(frames=10, shake_nm=0.0005), waters=4)
    oxygen = 22
    arm = moving.xyz[0, oxygen + 1] - moving.xyz[0, oxygen]
    whole = moving.make_molecules_whole()
    whole.xyz[6:, oxygen + 2] = whole.xyz[6:, oxygen] - arm
    result = compute_angles(whole)
    assert result.values["bent"].tolist() == [0] * 6 + [1] * 4 and result.number("bent_ever") == 1
    assert result.values["bent_names"][0, 0] == "HOH3-H1 HOH3-O HOH3-H2"
    assert result.number("change_largest") == pytest.approx(180.0 - 104.5, abs=2.0)


def test_frames_in_parts_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    moving = make_trajectory(Jiggle(frames=7, shake_nm=0.004), waters=4)
    whole = compute_angles(moving)
    monkeypatch.setattr("orbmm.analysis.structure.angles._ANGLES_PER_CHUNK", 3 * len(whole.values["atoms"]))
    parts = compute_angles(moving)
    for name in ("time", "change", "largest_change", "mean_change"):
        np.testing.assert_allclose(parts.values[name], whole.values[name], atol=1e-9)


def test_without_two_bonds_at_an_atom_there_is_no_angle() -> None:
    with pytest.raises(NothingToMeasure, match="no atom has two bonds"):
        compute_angles(make_box(2).atom_slice([22, 23]))
