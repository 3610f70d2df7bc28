"""Take the frames of a run of orbmm as structures to be labelled."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from orbmm.analysis.reading.frames import iterate_frames
from orbmm.analysis.reading.run_folder import read_run_folder
from orbmm.errors import TrainingError
from orbmm.kinds import find_solute
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import read_structures
from orbmm.units import ANGSTROM_PER_NM


def read_all_structures(paths: Iterable[Path]) -> list[Frame]:
    """Return the structures in files and run folders, without labels. Raises TrainingError and AnalysisError."""
    return [frame for path in paths for frame in (read_run_frames(path) if path.is_dir() else read_structures(path))]


def read_run_frames(folder: Path) -> list[Frame]:
    """Return the frames of a run that is complete, goes on or was stopped, without labels.

    Raises AnalysisError for a folder without a run, TrainingError for frames that hold some of the atoms only.
    """
    recording = read_run_folder(folder, growing=True)
    if recording.whole is not None:
        raise TrainingError(
            f"{folder}: its frames hold {recording.start.n_atoms} of {recording.whole.n_atoms} atoms, but forces need "
            'all of them: run with frame_atoms = "all"'
        )
    topology = recording.start.topology
    solute = np.isin(np.arange(topology.n_atoms), find_solute(topology))
    model = None if recording.settings is None else recording.settings.model
    found = chain.from_iterable(iterate_frames(chunk) for chunk in recording.frames.read_chunks())
    return [
        Frame(
            atomic_numbers=np.array([atom.element.atomic_number for atom in topology.atoms], dtype=np.int64),
            positions=positions * ANGSTROM_PER_NM,
            cell=None if box is None else box * ANGSTROM_PER_NM,
            peptide=solute,
            group=folder.name,
            charge=None if model is None else model.charge,
            multiplicity=None if model is None else model.multiplicity,
            source=f"{folder.name}, frame {number}",
        )
        for number, (_, positions, box) in enumerate(found)
    ]
