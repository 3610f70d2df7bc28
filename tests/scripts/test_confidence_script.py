"""scripts/study/confidence.py refits both embedded networks, and write_molecules.py writes what they have not seen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("ase", reason="ASE comes with the extra train")

from orbmm.model.load import load_model
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.data.reading import read_structures


def _label(frames: list[Frame], error: float, seed: int) -> list[Frame]:
    """Label frames by the conservative network, off by chance."""
    potential = load_model("orb-mini-conservative-inf-xtb", device="cpu")
    random = np.random.default_rng(seed)
    found = []
    for frame in frames:
        own = potential.predict(frame.atomic_numbers, frame.positions, frame.cell)
        found.append(replace(frame, energy=own.energy, forces=own.forces + random.normal(0.0, error, own.forces.shape)))
    return found


def test_the_script_measures_both_networks_and_draws(load_script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    molecules = load_script("scripts/study/write_molecules.py")
    ase_io = pytest.importorskip("ase.io")
    built = molecules.build_molecules(copies=2)
    assert len(built) == 3 * len({frame.info["group"] for frame in built})
    assert all(set(frame.symbols) <= molecules.ELEMENTS for frame in built)
    names = ["H2O", "CH4", "NH3", "CO2"]
    ase_io.write(tmp_path / "few.extxyz", [one for one in built if one.info["group"] in names], format="extxyz")
    few = read_structures(tmp_path / "few.extxyz")
    paths = {name: tmp_path / f"{name}.npz" for name in ("fit", "held_out", "molecules")}
    for name, chosen, error in (("fit", few[::3], 0.05), ("held_out", few[1::3], 0.05), ("molecules", few[2::3], 2.0)):
        write_frames(paths[name], _label(chosen, error, len(name)))
    script = load_script("scripts/study/confidence.py")
    paths["liquids"] = tmp_path / "liquids.npz"
    groups = zip(_label(few[:6:2], 2.0, 1), script.LIQUIDS, strict=True)
    write_frames(paths["liquids"], [replace(frame, group=group) for frame, group in groups])
    script.main(argparse.Namespace(**paths, work=tmp_path / "work", to=tmp_path / "to"))
    kept = json.loads((tmp_path / "to" / "confidence.json").read_text("utf-8"))
    assert set(kept["models"]) == set(script.MODELS)
    for arms in kept["models"].values():
        assert arms["before"]["weights_sha256"] != arms["after"]["weights_sha256"]
        assert all(arms["after"][domain]["large"] > 0 for domain in (script.OUTSIDE, *script.LIQUIDS))
    assert (tmp_path / "to" / "confidence.png").stat().st_size > 10_000
