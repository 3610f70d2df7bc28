"""Frames that teach a network about folded waters: made by bending, and found in a run that went there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import mdtraj
import numpy as np
import pytest
from openmm import app, unit

SCRIPTS = Path(__file__).parents[2] / "scripts" / "embedded"
WATER_NM = np.array([[0.0, 0.0, 0.0], [0.096, 0.0, 0.0], [-0.024, 0.093, 0.0]])


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[name] = script
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def waters() -> app.Modeller:
    """Eight waters of classical geometry in a small box."""
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=8, neutralize=False)
    return modeller


def _angles(positions: np.ndarray) -> np.ndarray:
    arms = positions.reshape(-1, 3, 3)[:, 1:] - positions.reshape(-1, 3, 3)[:, :1]
    cosine = (arms[:, 0] * arms[:, 1]).sum(-1) / np.linalg.norm(arms, axis=-1).prod(-1)
    return np.degrees(np.arccos(cosine))


def test_waters_fold_in_their_plane_and_keep_their_bonds(waters: app.Modeller) -> None:
    script = _load("sample_frames")
    before = np.array(waters.positions.value_in_unit(unit.angstrom))
    after = script._fold_waters(waters.topology, before.copy(), 1.0, np.random.default_rng(1))
    moved = np.abs(_angles(after) - _angles(before)) > 1.0
    assert moved.sum() >= 6
    assert (_angles(after) > script.FOLDED_ANGLES[0]).all() and (_angles(after) < script.FOLDED_ANGLES[1]).all()
    shift = (after - before).reshape(-1, 3, 3)
    assert np.abs(shift[:, :2]).max() == 0.0, "oxygen and first hydrogen stay"
    arms = [np.linalg.norm((place[2::3] - place[0::3]), axis=1) for place in (before, after)]
    assert arms[0] == pytest.approx(arms[1], abs=1e-9)
    normal = np.cross(before[1::3] - before[0::3], before[2::3] - before[0::3])
    assert np.abs((normal * shift[:, 2]).sum(-1)).max() < 1e-9


def test_a_folded_water_is_found_across_the_box_with_its_nearest_waters() -> None:
    script = _load("take_frames")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    row = [[0.3 + 0.1 * index, 0.5, 0.5] for index in range(10)]
    places = np.array([[0.02, 0.5, 0.5], [1.98, 0.5, 0.45], [1.0, 1.0, 1.0], *row])
    for _ in places:
        residue = topology.add_residue("HOH", chain)
        for name, element in (("O", "O"), ("H1", "H"), ("H2", "H")):
            topology.add_atom(name, mdtraj.element.get_by_symbol(element), residue)
    xyz = (places[:, None] + WATER_NM).astype(np.float32)
    folded = np.radians(60.0)
    xyz[0, 2] = places[0] + 0.097 * np.array([np.cos(folded), np.sin(folded), 0.0])
    wrapped = np.mod(xyz, 2.0).reshape(1, -1, 3)  # atoms of one molecule on both faces
    trajectory = mdtraj.Trajectory(wrapped, topology, unitcell_lengths=[[2.0] * 3], unitcell_angles=[[90.0] * 3])
    drops = script.take_folded_drops(trajectory, 5, "drop")
    assert len(drops) == 1
    drop = drops[0]
    assert drop.positions.shape == (3 * script.WATERS_OF_A_DROP, 3) and drop.cell is None
    assert _angles(drop.positions)[0] == pytest.approx(60.0, abs=0.01)
    assert _angles(drop.positions)[1:] == pytest.approx(np.full(9, _angles(WATER_NM)[0]), abs=0.01)
    assert drop.positions[3] == pytest.approx([-0.4, 0.0, -0.5], abs=1e-4), "the nearest water lies across the face"
    assert np.linalg.norm(drop.positions, axis=1).max() < 12.0
