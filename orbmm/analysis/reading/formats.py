"""Find out what mdtraj does not tell of a trajectory file: whole frames, times, what a frame holds."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.dcd import read_dcd_header
from orbmm.analysis.reading.opening import READING_ERRORS, find_suffix, open_trajectory, silence_c_readers
from orbmm.analysis.reading.trr import walk_trr
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame

_NETCDF = (".nc", ".ncdf", ".netcdf")
_SCALED = ({"xs", "ys", "zs"}, {"xsu", "ysu", "zsu"})


def count_frames(path: Path) -> int:
    """Return whole frames of a file that may still grow, 0 when it is not there yet.

    An XTC file is not unpacked for it.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    return sum(1 for _ in _walk_xtc(path)) if find_suffix(path) == ".xtc" else count_readable(path)[0]


def count_readable(path: Path, atoms: int | None = None) -> tuple[int, int]:
    """Return the number of frames that can be read one by one, and the number of atoms in each.

    atoms: of the topology, for formats that do not hold the number.
    """
    whole, found = 0, 0
    if find_suffix(path) == ".trr":  # whose reader in C trusts every header
        found_atoms = [frame.atoms for frame in walk_trr(path)]
        return len(found_atoms), next(iter(found_atoms), 0)
    try:
        with open_trajectory(path, atoms) as file, silence_c_readers():
            while len(coordinates := _get_positions(file.read(n_frames=1))):
                whole, found = whole + 1, coordinates.shape[1]
    except READING_ERRORS:
        return whole, found
    return whole, found


def count_atoms(path: Path, atoms: int) -> int:
    """Return the number of atoms in the first frame, 0 without one. atoms: where the format does not hold it."""
    with open_trajectory(path, atoms) as file, silence_c_readers():
        coordinates = _get_positions(file.read(n_frames=1))
    return int(coordinates.shape[1]) if len(coordinates) else 0


def _get_positions(read: object) -> NDArray[np.float32]:
    return np.asarray(read[0] if isinstance(read, tuple) else read)


def read_file_times(path: Path) -> NDArray[np.float64] | None:
    """Return the times of the frames (F,) [ps] from their headers alone; (0,) where they must be read frame by frame.

    None for a file that holds no times: PDB, mdcrd, LAMMPS dumps, XYZ, and DCD or NetCDF files written without.
    """
    suffix = find_suffix(path)
    if suffix == ".xtc":
        times = np.array([time for _, time in _walk_xtc(path)])
    elif suffix == ".trr":
        times = np.array([frame.time_ps for frame in walk_trr(path) if frame.positions])
    elif suffix == ".dcd":
        header = read_dcd_header(path)
        return None if header.frame_ps is None or header.first_ps is None else np.zeros(0)
    elif suffix in _NETCDF or suffix == ".gro":
        return np.zeros(0) if _states_times(path, suffix) else None
    else:
        return np.zeros(0) if suffix in (".dtr", ".ncrst") else None
    return None if len(times) > 1 and np.ptp(times) == 0.0 else times  # a program without a clock writes zeros


def _states_times(path: Path, suffix: str) -> bool:
    """Tell whether the first frame of a NetCDF or GRO file has a time."""
    if suffix == ".gro":
        with path.open("rb") as text:
            return b"t=" in text.readline(1000)
    try:
        with open_trajectory(path) as file, silence_c_readers():
            return file.read(n_frames=1)[1] is not None
    except READING_ERRORS:
        return True  # what is wrong is said when the frames are read


def find_scaled(path: Path) -> bool:
    """Tell whether a LAMMPS dump holds its coordinates as fractions of the box, and not also as lengths."""
    if find_suffix(path) != ".lammpstrj":
        return False
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as text:
        for line in text:
            if line.startswith("ITEM: ATOMS"):
                columns = set(line.split())
                lengths = {"x", "y", "z"} <= columns or ({"xu", "yu", "zu"} <= columns and not _SCALED[0] <= columns)
                return not lengths and any(scaled <= columns for scaled in _SCALED)
    return False


def _walk_xtc(path: Path) -> Iterator[tuple[int, float]]:
    """Yield the end [bytes] and time [ps] of each whole frame, by the lengths that their headers state."""
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            head = file.read(HEADER_BYTES)
            length = measure_frame(head)
            if length is None or (offset := offset + length) > size:
                return
            yield offset, struct.unpack_from(">f", head, 12)[0]
