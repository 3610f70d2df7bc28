"""Labelled frames in the formats of others: their units are converted, and frames held out are chosen by group."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orbmm.errors import TrainingError
from orbmm.settings.training import DataSettings
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import read_data, read_file, split_frames

ase = pytest.importorskip("ase", reason="ASE comes with the extra train")

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

ENERGY, FORCES = -12.5, np.array([[0.0, 0.0, 1.5], [0.0, 0.25, -1.5], [0.0, -0.25, 0.0]])


def make_atoms(pbc: bool | list[bool] = True) -> Atoms:
    return Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[5, 6, 7], pbc=pbc)


def label(atoms: Atoms, energy: float = ENERGY, forces: np.ndarray = FORCES, **more: object) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, **more)
    return atoms


def settings(path: Path, **changes: object) -> DataSettings:
    return DataSettings(**{"training": (path,), "energy_unit": "eV", "force_unit": "eV/Å", **changes})


@pytest.mark.parametrize("name", ["frames.extxyz", "frames.xyz", "frames.db"])
def test_every_format_of_ase_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith(".db"):
        with connect(str(path)) as database:
            database.write(label(make_atoms()), group="a")
    else:
        write(path, label(make_atoms()), format="extxyz")
    (frame,) = read_file(path, settings(path))
    assert frame.energy == pytest.approx(ENERGY, abs=1e-6)
    np.testing.assert_allclose(frame.forces, FORCES, atol=1e-6)
    np.testing.assert_allclose(frame.cell, np.diag([5.0, 6.0, 7.0]))


@pytest.mark.parametrize(
    ("energy_unit", "force_unit", "ev", "ev_per_angstrom"),
    [
        ("kcal/mol", "kcal/mol/Å", 0.04336410, 0.04336410),
        ("kJ/mol", "kJ/mol/nm", 0.01036427, 0.001036427),
        ("Hartree", "Hartree/Bohr", 27.211386, 51.422067),
    ],
)
def test_units_are_converted(
    energy_unit: str, force_unit: str, ev: float, ev_per_angstrom: float, tmp_path: Path
) -> None:
    """Factors from the tables of CODATA 2018."""
    path = tmp_path / "frames.extxyz"
    write(path, label(make_atoms()), format="extxyz")
    (frame,) = read_file(path, settings(path, energy_unit=energy_unit, force_unit=force_unit))
    assert frame.energy == pytest.approx(ENERGY * ev, rel=2e-6)
    np.testing.assert_allclose(frame.forces, FORCES * ev_per_angstrom, rtol=2e-6, atol=1e-9)


def test_the_stress_is_in_the_order_and_sign_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "frames.extxyz"
    write(path, label(make_atoms(), stress=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), format="extxyz")
    (frame,) = read_file(path, settings(path, stress_unit="GPa", stress_sign="positive under pressure"))
    np.testing.assert_allclose(frame.stress, -np.arange(1.0, 7.0) * 0.00624150907, rtol=1e-6)
    (without,) = read_file(path, settings(path))
    assert without.stress is None


def test_other_names_of_the_labels_are_taken(tmp_path: Path) -> None:
    atoms = make_atoms()
    atoms.info |= {"REF_energy": ENERGY, "charge": -1, "multiplicity": 2, "group": "run-3"}
    atoms.arrays |= {"REF_forces": FORCES, "solute": np.array([True, False, False])}
    path = tmp_path / "frames.extxyz"
    write(path, atoms, format="extxyz")
    (frame,) = read_file(path, settings(path, energy_key="REF_energy", forces_key="REF_forces"))
    assert (frame.energy, frame.charge, frame.multiplicity, frame.group) == (ENERGY, -1, 2, "run-3")
    assert frame.peptide.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (make_atoms(), "frame 0: has no 'energy'"),
        (label(make_atoms([True, True, False])), "frame 0: is periodic in some directions only"),
    ],
)
def test_a_frame_without_a_meaning_is_named(atoms: Atoms, said: str, tmp_path: Path) -> None:
    path = tmp_path / "frames.extxyz"
    write(path, atoms, format="extxyz")
    with pytest.raises(TrainingError, match=said):
        read_file(path, settings(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("frames.extxyz", b"not a number of atoms\n"),
        ("frames.extxyz", b"3\nProperties=species:S:1:pos:R:3\nO 0 0\n"),
        ("frames.extxyz", b""),
        ("frames.npz", b"PK\x03\x04torn"),
        ("frames.db", b"SQLite format 3\x00torn"),
        ("frames.csv", b"1,2\n"),
    ],
)
def test_a_file_that_is_something_else_is_one_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=name.replace(".", r"\.")):
        read_file(path, settings(path))


def test_a_database_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "frames.db"
    with sqlite3.connect(path) as database:
        database.execute("create table recipes (name text)")
    with pytest.raises(TrainingError, match="frames.db"):
        read_file(path, settings(path))


def test_whole_groups_are_held_out(frames: list[Frame]) -> None:
    grouped = [replace(frame, group=f"g{index // 2}") for index, frame in enumerate(frames)]
    split = split_frames(grouped, 0.2, seed=1)
    assert {f.group for f in split.training} & {f.group for f in split.validation} == set()
    assert len(split.validation) == 2 and len(split.training) == 8
    again = split_frames(grouped, 0.2, seed=1)
    assert [f.group for f in split.validation] == [f.group for f in again.validation]


def test_of_one_trajectory_the_last_frames_are_held_out(frames: list[Frame]) -> None:
    one = [replace(frame, group="one") for frame in frames]
    split = split_frames(one, 0.3, seed=1)
    assert [frame.source for frame in split.validation] == [frame.source for frame in frames[-3:]]


def test_of_two_short_trajectories_a_frame_each_is_held_out(frames: list[Frame]) -> None:
    two = [replace(frame, group="one" if index < 5 else "two") for index, frame in enumerate(frames)]
    split = split_frames(two, 0.09, seed=1)
    assert [frame.source for frame in split.validation] == [two[4].source, two[9].source]


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_a_split_that_leaves_nothing_is_refused(share: float, frames: list[Frame]) -> None:
    with pytest.raises(TrainingError, match="validation_share"):
        split_frames(frames, share, seed=1)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        read_data(settings(tmp_path / "absent.extxyz"), seed=1)
