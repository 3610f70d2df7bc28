"""Carbon dioxide in the system: found by its shape, followed to a bicarbonate or to the metal."""

from __future__ import annotations

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.geometry.pairs import find_pairs, shorten
from orbmm.analysis.reading.frames import Frames, iterate_frames, read_chunks
from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.analysis.site.metal_site import find_metals
from orbmm.kinds import find_heavy
from orbmm.units import ANGSTROM_PER_NM

_BOND_NM, _TOUCH_NM = 0.15, 0.16
_LEAST_ANGLE = 150.0
_STATES = {2: "carbon dioxide", 3: "carbonate or bicarbonate"}
_METHOD = (
    "A carbon whose only heavy neighbours within 1.6 Å are two oxygens "
    "nearer than 1.5 Å at an angle above "
    "150 degrees is carbon dioxide; it is carbonate or bicarbonate with three "
    "oxygens within 1.6 Å. Followed here: "
    "{name} ({molecules} in all)."
)


def compute_carbon_dioxide(frames: Frames) -> Result:
    """Compute oxygens on the carbon of CO2 along time, its O-C-O angle, its distances to other oxygens and to the
    metal [Å].

    frames: a trajectory, in memory or on disk; the first molecule of the first frame is followed.
    Raises NothingToMeasure without CO2.
    """
    topology = frames.topology
    oxygens = np.array([atom.index for atom in topology.atoms if atom.element.symbol == "O"], dtype=np.int64)
    molecules = find_carbon_dioxide(next(read_chunks(frames))[0])
    if not molecules:
        raise NothingToMeasure("no carbon has just two oxygens in a line")
    carbon, own = molecules[0]
    metals = find_metals(topology)
    watched = np.array([carbon, *metals[:1]])
    atoms = np.union1d(oxygens, watched)
    rows = {int(index): i for i, index in enumerate(atoms)}
    others = np.searchsorted(atoms, np.setdiff1d(oxygens, own))
    columns: dict[str, list[float]] = {name: [] for name in ("time", "oxygens", "angle", "nearest_oxygen", "to_metal")}
    for chunk in read_chunks(frames, atoms):
        for time, positions, box in iterate_frames(chunk):
            columns["time"].append(time)
            arms = shorten(positions[[rows[i] for i in own]] - positions[rows[carbon]], box)
            away = np.linalg.norm(shorten(positions[others] - positions[rows[carbon]], box), axis=1)
            near = np.append(np.linalg.norm(arms, axis=1), away) < _TOUCH_NM
            columns["oxygens"].append(int(near.sum()))
            columns["angle"].append(_measure_angle(*arms))
            columns["nearest_oxygen"].append(ANGSTROM_PER_NM * float(away.min(initial=np.inf)))
            if metals:
                step = shorten(positions[rows[metals[0]]] - positions[[rows[carbon]]], box)
                columns["to_metal"].append(ANGSTROM_PER_NM * float(np.linalg.norm(step)))
    method = _METHOD.format(name=topology.atom(carbon).residue, molecules=len(molecules))
    return _collect({name: np.array(column) for name, column in columns.items() if column}, len(molecules), method)


def find_carbon_dioxide(frame: md.Trajectory) -> list[tuple[int, tuple[int, int]]]:
    """Return the carbon and the two oxygens of every CO2 of one frame, by its shape."""
    elements = np.array([atom.element.symbol for atom in frame.topology.atoms])
    carbons = np.flatnonzero(elements == "C")
    heavy = find_heavy(frame.topology)
    _, positions, box = next(iterate_frames(frame))
    found = find_pairs(positions[carbons], positions[heavy], box, 0.16)
    neighbours = found.second[found.lengths > 0.0], found.first[found.lengths > 0.0]
    molecules = []
    for row in np.flatnonzero(np.bincount(neighbours[1], minlength=len(carbons)) == 2):
        carbon, ends = int(carbons[row]), heavy[neighbours[0][neighbours[1] == row]]
        arms = shorten(positions[ends] - positions[carbon], box)
        close = np.linalg.norm(arms, axis=1).max() < _BOND_NM
        if set(elements[ends]) == {"O"} and close and _measure_angle(*arms) > _LEAST_ANGLE:
            molecules.append((carbon, (int(ends[0]), int(ends[1]))))
    return molecules


def _measure_angle(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _collect(columns: dict[str, NDArray[np.float64]], molecules: int, method: str) -> Result:
    oxygens = columns["oxygens"].astype(int)
    states = [_STATES.get(int(count), f"carbon with {count} oxygens") for count in (oxygens[0], oxygens[-1])]
    values = {
        **columns,
        "molecules": molecules,
        "angle_mean": columns["angle"].mean(),
        "nearest_oxygen_smallest": columns["nearest_oxygen"].min(),
        "state": np.array([states]),
    }
    units = {"time": "ps", "angle": "degrees", "angle_mean": "degrees"}
    units |= {"nearest_oxygen": "angstrom", "nearest_oxygen_smallest": "angstrom"}
    if "to_metal" in values:
        values |= {"to_metal_start": columns["to_metal"][0], "to_metal_smallest": columns["to_metal"].min()}
        units |= dict.fromkeys(("to_metal", "to_metal_start", "to_metal_smallest"), "angstrom")
    return Result.of("carbon_dioxide", method, "time", values, units, len(oxygens))
