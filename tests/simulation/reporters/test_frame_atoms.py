"""A trajectory may hold some of the atoms; a topology of these lies beside it."""

from __future__ import annotations

from collections.abc import Callable

import mdtraj
import numpy as np
import pytest

from orbmm.settings import Settings, override_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


@pytest.mark.parametrize("file_format", ["xtc", "dcd"])
def test_frames_hold_the_chosen_atoms_also_after_a_kill(
    file_format: str, settings: Settings, classical_forces: Forces
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 44:
            raise KeyboardInterrupt

    chosen = override_settings(settings, {"run": {"frame_atoms": "name O", "trajectory": file_format}})
    with pytest.raises(KeyboardInterrupt):
        start_run(chosen, stop, classical_forces())
    assert chosen.run.output is not None
    folder = resume_run(chosen.run.output, forces=classical_forces()).folder
    frames = mdtraj.load(folder / f"trajectory.{file_format}", top=folder / "trajectory.pdb")
    assert (frames.n_atoms, frames.n_frames) == (15, 16)
    assert {atom.element.symbol for atom in frames.topology.atoms} == {"O"}
    start = mdtraj.load(folder / "topology.pdb")
    assert start.n_atoms == 45
    assert np.abs(frames.xyz[0] - start.xyz[0, ::3]).max() < 0.002
    assert np.abs(mdtraj.load(folder / "trajectory.pdb").xyz[0] - start.xyz[0, ::3]).max() < 1e-5


def test_all_atoms_need_no_topology_of_their_own(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    assert not (folder / "trajectory.pdb").exists()


def test_the_rmsd_is_told_with_the_progress_where_it_is_asked_for(settings: Settings, classical_forces: Forces) -> None:
    seen: list[Progress] = []
    start_run(override_settings(settings, {"run": {"show_rmsd": "name O"}}), seen.append, classical_forces())
    values = [progress.rmsd_nm for progress in seen]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert 0.001 < values[-1] < 0.1
