"""Frames and settings of the embedded networks of whole proteins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from orbmm.settings.toml import read_training_settings

NEAREST_ZINC_LIGAND, FURTHEST_ZINC_LIGAND = 1.8, 2.6  # [Å]


@pytest.fixture
def complexes(load_script: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("tblite")
    return load_script("scripts/embedded/sample_complexes.py")


def test_networks_learn_all_labels_but_the_held_out_ones(
    load_script: Callable[[str], ModuleType], repository: Path
) -> None:
    script = load_script("scripts/embedded/make_networks.py")
    labelled = {work.target.name for work in script.list_work(None, 1) if work.stage == "label"}
    for name in script.NETWORKS:
        data = read_training_settings(repository / "scripts" / "embedded" / f"{name}.toml").data
        learned, held_out = ({path.name for path in paths} for paths in (data.training, data.validation))
        assert not learned & held_out
        assert learned | held_out == labelled


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
