"""A run folder made by hand: alanine dipeptide in water that jiggles, with energies of known mean and correlation."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from orbmm.settings import RunSettings, Settings, SystemSettings, write_settings
from orbmm.units import KJ_PER_MOL_PER_KELVIN

FRAME_PS = 0.01
COLUMNS = (
    "step,time_ps,potential_energy_kJ_mol,kinetic_energy_kJ_mol,total_energy_kJ_mol,temperature_K,speed_ns_per_day"
)
CUBE = np.eye(3) * 1.5
DODECAHEDRON = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, np.sqrt(0.5)]]) * 1.7
SKEWED = np.array([[1.5, 0.0, 0.0], [0.6, 1.5, 0.0], [-0.5, 0.6, 1.6]])

_PEPTIDE = """
ACE CH3 .083 -.135 -.094  H1 -.362 .333 .783  H2 -.173 -1.194 -.110  H3 -.286 .341 -1.000  C 1.586 .004 -.029
    O 2.288 -.997 -.018
ALA N 2.058 1.252 .014  H 1.369 1.985 -.007  CA 3.462 1.692 .113  HA 3.437 2.782 .163  C 4.248 1.259 1.375
    CB 4.199 1.345 -1.189  HB1 5.195 1.789 -1.172  HB2 4.299 .263 -1.289  HB3 3.651 1.737 -2.046  O 4.978 2.078 1.927
NME N 4.092 .020 1.856  H 3.501 -.609 1.322  C 4.751 -.497 3.053  H1 4.414 .059 3.929  H2 5.832 -.378 2.958
    H3 4.515 -1.554 3.183
"""  # residue, then name and place [Å] of each atom
_WATER = np.array([[0.0, 0.0, 0.0], [0.0757, 0.0586, 0.0], [-0.0757, 0.0586, 0.0]])  # nm


@dataclass(frozen=True)
class Jiggle:
    """How a synthetic trajectory moves: each molecule turns and drifts as a whole, each atom shakes a little."""

    frames: int = 60
    shake_nm: float = 0.002
    box: NDArray[np.float64] | None = None  # (3, 3) rows [nm]; None is a cube
    seed: int = 0


def make_box(waters: int = 60, box: NDArray[np.float64] = CUBE, seed: int = 0) -> md.Trajectory:
    """One frame of alanine dipeptide and waters, molecules whole, no two oxygens within 0.26 nm of each other."""
    xyz = _place_atoms(waters, tuple(map(tuple, box.tolist())), seed)
    return add_box(md.Trajectory(xyz[None], _build_topology(_read_peptide()[0], waters)), box)


def make_trajectory(jiggle: Jiggle = Jiggle(), waters: int = 60) -> md.Trajectory:
    """Frames of that box in motion, every atom wrapped into the box by itself, so that molecules are torn apart."""
    box = CUBE if jiggle.box is None else jiggle.box
    start = make_box(waters, box)
    rng = np.random.default_rng(jiggle.seed)
    frames = start.xyz[0] + jiggle.shake_nm * rng.normal(size=(jiggle.frames, start.n_atoms, 3))
    frames[:, :22] += np.linspace(0.0, 1.0, jiggle.frames)[:, None, None]  # the peptide walks through the walls
    frames[0] = start.xyz[0]
    moving = md.Trajectory(wrap(frames, box), start.topology, time=FRAME_PS * np.arange(jiggle.frames))
    return add_box(moving, box)


def wrap(xyz: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every atom in the cell of the box (rows), whatever its molecule."""
    fractions = xyz @ np.linalg.inv(box)
    return (fractions - np.floor(fractions)) @ box


def add_box(trajectory: md.Trajectory, box: NDArray[np.float64]) -> md.Trajectory:
    """The trajectory, given one box for all frames."""
    trajectory.unitcell_vectors = np.repeat(box[None], trajectory.n_frames, axis=0).astype(np.float32)
    return trajectory


def make_noise(samples: int, memory: float, seed: int = 0) -> NDArray[np.float64]:
    """A series of unit variance in which each sample remembers `memory` of the one before (AR(1))."""
    kicks = np.random.default_rng(seed).normal(size=samples)
    kicks[1:] *= np.sqrt(1.0 - memory**2)
    return lfilter([1.0], [1.0, -memory], kicks)


def write_run_folder(folder: Path, trajectory: md.Trajectory, file_format: str = "xtc", kelvin: float = 300.0) -> Path:
    """The folder that `orbmm run` would leave of this trajectory, at a mean temperature."""
    folder.mkdir()
    run = RunSettings(trajectory=file_format, length_ps=FRAME_PS * (trajectory.n_frames - 1))
    trajectory[0].make_molecules_whole().save(str(folder / "topology.pdb"))
    write_settings(
        Settings(SystemSettings("synthetic", structure=folder / "topology.pdb"), run=run), folder / "settings.toml"
    )
    record = {"model": "synthetic", "seed": 1, "weights_sha256": "0" * 64, "versions": {}}
    (folder / "run.json").write_text(json.dumps(record))
    trajectory.save(str(folder / f"trajectory.{file_format}"))
    write_energies(folder / "energies.csv", trajectory, kelvin)
    return folder


def write_energies(path: Path, trajectory: md.Trajectory, kelvin: float = 300.0) -> None:
    """energies.csv with 3 N - 3 degrees of freedom and a potential energy without drift."""
    rows, freedom = trajectory.n_frames, 3 * trajectory.n_atoms - 3
    temperature = kelvin * (1.0 + np.sqrt(2.0 / freedom) * make_noise(rows, 0.3))
    kinetic = 0.5 * freedom * KJ_PER_MOL_PER_KELVIN * temperature
    potential = -2000.0 + 30.0 * make_noise(rows, 0.3, seed=1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.split(","))
        for i in range(rows):
            writer.writerow(
                [20 * i, FRAME_PS * i, potential[i], kinetic[i], potential[i] + kinetic[i], temperature[i], "nan"]
            )


@cache
def _place_atoms(waters: int, box: tuple[tuple[float, ...], ...], seed: int) -> NDArray[np.float64]:
    rng, cell = np.random.default_rng(seed), np.array(box)
    _, peptide = _read_peptide()
    peptide = peptide - peptide.mean(axis=0) + cell.sum(axis=0) / 2.0
    placed = [oxygen + _WATER @ _turn(rng).T for oxygen in _scatter(rng, waters, cell, peptide)]
    return np.concatenate([peptide, *placed])


def _read_peptide() -> tuple[list[tuple[str, str]], NDArray[np.float64]]:
    names, positions, residue = [], [], ""
    words = iter(_PEPTIDE.split())
    for word in words:
        if word in ("ACE", "ALA", "NME"):
            residue, word = word, next(words)
        names.append((residue, word))
        positions.append([float(next(words)) for _ in range(3)])
    return names, np.array(positions) / 10.0


def _build_topology(names: list[tuple[str, str]], waters: int) -> md.Topology:
    topology = md.Topology()
    chain = topology.add_chain()
    residues = {name: topology.add_residue(name, chain) for name in ("ACE", "ALA", "NME")}
    for residue, name in names:
        topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residues[residue])
    chain = topology.add_chain()
    for _ in range(waters):
        residue = topology.add_residue("HOH", chain)
        for name in ("O", "H1", "H2"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    topology.create_standard_bonds()
    return topology


def _scatter(rng: np.random.Generator, waters: int, box: NDArray[np.float64], peptide: NDArray[np.float64]) -> NDArray:
    images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ box
    placed: list[NDArray[np.float64]] = []
    while len(placed) < waters:
        place = rng.random(3) @ box
        others = np.concatenate([peptide, *(oxygen[None] for oxygen in placed)])
        if np.linalg.norm(others[:, None] + images - place, axis=2).min() > 0.26:
            placed.append(place)
    return np.array(placed)


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation."""
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return axes * np.sign(np.linalg.det(axes))
