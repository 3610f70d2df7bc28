"""The input of an analysis: the files of a run folder, or a trajectory and topology from another program."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from scipy.spatial import cKDTree

from orbmm.analysis.reading.formats import count_frames
from orbmm.analysis.reading.frames import TrajectoryFile
from orbmm.analysis.reading.opening import (
    READING_ERRORS,
    explain_failure,
    lend_plain_path,
    refuse_damaged_text,
    refuse_unpickling_format,
    silence_c_readers,
)
from orbmm.analysis.reading.residue_numbers import correct_numbers
from orbmm.analysis.reading.times import describe_frames, hold_times
from orbmm.analysis.reading.topology import MatchedTopology, is_torn, match_topology
from orbmm.errors import AnalysisError, ConvertBareErrors, UnsafeFile
from orbmm.files import read_json
from orbmm.run_files.confidence import ConfidenceFile, read_confidence
from orbmm.run_files.energies import EnergyTable, read_energy_table
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings, read_settings

_LARGEST_RECORD_BYTES = 10_000_000
_SAME_PLACE_NM = 0.001  # a PDB file keeps 0.0001


@dataclass(frozen=True)
class Recording:
    """A trajectory with what is known of how it was made.

    start: one frame with the topology, the reference for RMSD and bonds.
    whole: the same of all atoms of a run whose frames hold some of them; None where they hold all.
    energies, settings, record: None or empty for a trajectory that is no run of orbmm.
    confidence: None also for a run that wrote none. checkpoints: folder of a run's checkpoints, with velocities.
    stopped: why the guard stopped the run; None where it did not.
    notes: what was changed in the topology, or is odd about the frames; to be said before any number.
    """

    frames: TrajectoryFile
    start: md.Trajectory
    energies: EnergyTable | None
    settings: Settings | None
    record: dict[str, Any]
    confidence: ConfidenceFile | None = None
    checkpoints: Path | None = None
    whole: md.Trajectory | None = None
    stopped: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def all_atoms(self) -> md.Trajectory:
        """Return the start of everything that was simulated, whatever the frames hold."""
        return self.start if self.whole is None else self.whole

    def pick_frame_atoms(self, structure: md.Trajectory) -> md.Trajectory:
        """Return of a structure of all atoms those that the frames hold; any other structure as it is."""
        if self.whole is None or structure.n_atoms != self.whole.n_atoms:
            return structure
        distances, atoms = cKDTree(self.whole.xyz[0]).query(self.start.xyz[0])  # both files hold the same moment
        if distances.max() > _SAME_PLACE_NM:
            raise AnalysisError("trajectory.pdb holds atoms that topology.pdb has not: the two are of different runs")
        return structure.atom_slice(atoms)


def read_run_folder(folder: Path, growing: bool = False) -> Recording:
    """Return a run as `orbmm run` leaves it.

    growing: it still goes on; the frames there are now count, a torn last one does not.
    Raises AnalysisError for a folder or file that is missing, empty or damaged, SettingsError for its settings.
    """
    if not folder.is_dir():
        raise AnalysisError(f"{folder}: no such run folder; give the folder that orbmm run has written")
    run = RunFolder(folder)
    settings = read_settings(_require(run.settings))
    matched = _read_matched(_require(run.topology))
    whole, notes = matched.start, matched.notes
    start = _read_matched(run.frame_topology).start if run.frame_topology.is_file() else whole
    trajectory = run.find_trajectory(settings.run.trajectory)
    reason = run.read_reason()
    if reason is not None and not trajectory.is_file():
        raise AnalysisError(f"{folder}: the guard stopped the run before its first frame of production: {reason}")
    _require(trajectory)
    frames = _open_trajectory(trajectory, start, count_frames(trajectory) if growing else None)
    if not frames.timed:
        frames = replace(frames, frame_ps=settings.run.frame_every_fs / 1000.0, timed=True)
    if start is not whole:
        notes = (*notes, _describe_selection(start, whole))
    energies = read_energy_table(_require(run.table), growing)
    record = _read_record(_require(run.record))
    return Recording(
        frames,
        start,
        energies,
        settings,
        record,
        confidence=read_confidence(folder, growing),
        stopped=reason,
        checkpoints=run.checkpoints,
        whole=None if start is whole else whole,
        notes=(*notes, *describe_frames(frames)),
    )


def _describe_selection(start: md.Trajectory, whole: md.Trajectory) -> str:
    """Return the note on frames that hold some of the atoms, beside which a count of 0 would seem measured."""
    return (
        f"the frames hold {start.n_atoms} of the {whole.n_atoms} atoms that were simulated; what is computed from "
        "frames, such as hydrogen bonds, leaves the others out"
    )


def read_plain_trajectory(trajectory: Path, topology: Path, frame_ps: float | None = None) -> Recording:
    """Return anybody's trajectory; temperature and energy are then unknown.

    frame_ps: time between two frames [ps], in place of what the file says; None takes the file's times. Where it holds
    none, frames are numbered and what needs times is left out. Raises AnalysisError.
    """
    if frame_ps is not None and not (math.isfinite(frame_ps) and frame_ps > 0.0):
        raise AnalysisError(f"the time between two frames must be a positive number of ps, got {frame_ps}")
    matched = _read_matched(topology, trajectory)
    frames = _open_trajectory(trajectory, matched.start, frame_ps=frame_ps)
    notes = (*matched.notes, *describe_frames(frames))
    return Recording(frames, matched.start, None, None, {}, notes=notes)


def read_structure(path: Path) -> md.Trajectory:
    """Return the first model of a structure file, with topology and box. Raises AnalysisError."""
    refuse_unpickling_format(path)
    if not path.is_file():
        raise AnalysisError(f"{path}: no such structure file; give a PDB or mmCIF file of the same atoms")
    refuse_damaged_text(path, "structure")
    try:
        with warnings.catch_warnings(), lend_plain_path(path) as plain, silence_c_readers(), ConvertBareErrors():
            warnings.simplefilter("ignore")  # about the placeholder box of a structure without one
            start = md.load(plain)[0]
            correct_numbers(start.topology, path)
    except READING_ERRORS as error:
        reason = explain_failure(error, path)
        raise AnalysisError(f"{path}: cannot be read as a structure{reason}; give a PDB or mmCIF file") from error
    if not all(isinstance(residue.name, str) for residue in start.topology.residues):
        raise AnalysisError(f"{path}: cannot be read as a structure (a residue has no name); give a PDB or mmCIF file")
    if not np.isfinite(start.xyz).all():
        atom = start.topology.atom(int(np.argwhere(~np.isfinite(start.xyz[0]))[0, 0]))
        raise AnalysisError(f"{path}: the coordinates of {atom} are not finite numbers; correct them")
    return start


def _read_matched(path: Path, trajectory: Path | None = None) -> MatchedTopology:
    """Return the structure of a file with its topology held against its positions. Raises AnalysisError.

    trajectory: whose box is taken for a structure without one whose molecules are cut by the box.
    """
    start = read_structure(path)
    if trajectory is not None and is_torn(start):
        start = _borrow_box(start, trajectory)
    try:
        return match_topology(start)
    except AnalysisError as error:
        raise AnalysisError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _borrow_box(start: md.Trajectory, trajectory: Path) -> md.Trajectory:
    """Return the start with the box of the first frame, or as it is where that has none or cannot be read."""
    try:
        first = next(TrajectoryFile(trajectory, start.topology, periodic=False).read_chunks())[0]
    except AnalysisError:
        return start  # what is wrong with the frames is said when they are analysed
    return md.Trajectory(start.xyz, start.topology, start.time, first.unitcell_lengths, first.unitcell_angles)


def _open_trajectory(
    path: Path, start: md.Trajectory, most: int | None = None, frame_ps: float | None = None
) -> TrajectoryFile:
    periodic = start.unitcell_lengths is not None
    frames = TrajectoryFile(path, start.topology, periodic, most=most, frame_ps=frame_ps)
    refuse_unpickling_format(path)
    return replace(frames, timed=hold_times(frames))


def _require(path: Path) -> Path:
    if not path.is_file():
        raise AnalysisError(f"{path}: missing; is {path.parent} a run folder, and did the run start?")
    try:
        path.open("rb").close()
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read ({error.strerror}); change its permissions") from error
    return path


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path, _LARGEST_RECORD_BYTES)
    except (OSError, ValueError, UnsafeFile) as error:
        raise AnalysisError(f"{path}: cannot be read as the record of a run ({error})") from error
    if not isinstance(record, dict):
        raise AnalysisError(f"{path}: is no record of a run; expected names and values")
    return record
