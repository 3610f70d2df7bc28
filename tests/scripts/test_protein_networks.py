"""Frames and settings of the embedded networks of whole proteins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from orbmm.settings.toml import read_training_settings
from orbmm.training.data.frames import Frame

MEASURED = "held-complexes-labelled.npz"  # only measured on, by measure_protein_errors.py
PROTONS, OWN = "protons-labelled.npz", "own-second-labelled.npz"  # of the second stage
NEAREST_ZINC_LIGAND, FURTHEST_ZINC_LIGAND = 1.8, 2.6  # [Å]


@pytest.fixture
def complexes(load_script: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("tblite")
    return load_script("scripts/embedded/sample_complexes.py")


def test_networks_learn_all_labels_but_the_held_out_ones(
    load_script: Callable[[str], ModuleType], repository: Path
) -> None:
    script = load_script("scripts/embedded/make_networks.py")
    labelled = {work.target.name for work in script.list_work(None, 1) if work.stage == "label"} - {MEASURED}
    for name in script.NETWORKS:
        for stage, wanted in (("", labelled - {PROTONS}), ("-second", labelled | {OWN})):
            data = read_training_settings(repository / "scripts" / "embedded" / f"{name}{stage}.toml").data
            learned, held_out = ({path.name for path in paths} for paths in (data.training, data.validation))
            assert not learned & held_out
            assert learned | held_out == wanted


def test_every_complex_can_be_closed_shell_and_holds_its_zinc(complexes: ModuleType) -> None:
    for what in complexes.COMPLEXES:
        atoms = complexes.build_complex(what, np.random.default_rng(1))
        assert (atoms.numbers.sum() - what.charge) % 2 == 0, what.name
        distances = atoms.get_all_distances()
        np.fill_diagonal(distances, np.inf)
        assert distances.min() > 0.7, what.name
        if what.ligands:
            heavy = (atoms.numbers > 1) & (distances[0] < FURTHEST_ZINC_LIGAND)
            assert heavy.sum() >= len(what.ligands), what.name  # and a water at an open place
            assert distances[0].min() > NEAREST_ZINC_LIGAND, what.name


def test_an_ion_is_pushed_straight_to_a_neighbour_and_nothing_else_moves(
    load_script: Callable[[str], ModuleType],
) -> None:
    script = load_script("scripts/embedded/push_ions.py")
    generator = np.random.default_rng(3)
    positions = generator.uniform(0.0, 9.0, (40, 3))
    positions[0] = 0.1  # near a corner: its neighbours are across the box
    frame = Frame(np.array([11] + [8] * 39), positions, 9.0 * np.eye(3), np.zeros(40, dtype=bool), "salt")
    pushed = [one for one in (script.push(frame, 0, generator) for _ in range(40)) if one is not None]
    assert len(pushed) > 5
    for one in pushed:
        assert np.array_equal(one.positions[1:], positions[1:]) and one.group == "pushed-na"
        move = one.positions[0] - positions[0]
        before, after = (measure(positions - place) for place in (positions[0], one.positions[0]))
        neighbour = int(np.argmin(np.abs(before - after - np.linalg.norm(move))))
        assert before[neighbour] - after[neighbour] == pytest.approx(np.linalg.norm(move))  # straight towards it
        assert 1.3 <= after[neighbour] < before[neighbour] and after[1:].min() >= 0.9
    crowded = dataclasses.replace(frame, positions=np.repeat(positions[:1] + [[1.2, 0, 0]], 40, axis=0))
    assert script.push(dataclasses.replace(crowded, positions=np.vstack([positions[:1], crowded.positions[1:]])), 0,
                       generator) is None  # fmt: skip


def measure(steps: np.ndarray) -> np.ndarray:
    """Lengths of steps (N, 3) to the nearest images in a cube of 9 Å."""
    return np.linalg.norm(steps - 9.0 * np.round(steps / 9.0), axis=1)


def test_frames_without_room_or_ions_end_in_one_sentence(load_script: Callable[[str], ModuleType]) -> None:
    script = load_script("scripts/embedded/push_ions.py")
    water = Frame(np.array([8, 1, 1]), np.eye(3), None, np.zeros(3, dtype=bool), "water")
    with pytest.raises(SystemExit, match="no frame holds"):
        list(script.push_some([water], 2, 1))
    crowded = Frame(np.array([11, 8, 8]), np.array([[0, 0, 0], [1.2, 0, 0], [1.25, 0, 0]]), None, water.peptide, "salt")
    with pytest.raises(SystemExit, match="only 0 of 2 frames have room"):
        list(script.push_some([crowded], 2, 1))
