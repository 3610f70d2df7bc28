"""mdtraj makes the boxes of all frames anew whenever it is asked for them: measures that ask at every frame would take
time that grows with the square of the frames."""

from __future__ import annotations

from collections.abc import Callable

import mdtraj as md
import pytest
from analysis.synthetic import Jiggle, make_trajectory

from orbmm.analysis import compute_hydrogen_bonds
from orbmm.analysis.reading.frames import Frames
from orbmm.analysis.result import Result
from orbmm.analysis.site.bond_events import compute_bond_events
from orbmm.analysis.site.protonation import compute_protonation
from orbmm.analysis.structure.bonds import compute_bonds

FRAMES = 40


@pytest.mark.parametrize("measure", [compute_hydrogen_bonds, compute_protonation, compute_bond_events, compute_bonds])
def test_boxes_are_asked_for_a_few_times_whatever_the_number_of_frames(
    measure: Callable[[Frames], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    trajectory = make_trajectory(Jiggle(frames=FRAMES, shake_nm=0.02))
    asked = []
    make_boxes = md.Trajectory.unitcell_vectors

    def count(self: md.Trajectory) -> object:
        asked.append(self.n_frames)
        return make_boxes.fget(self)

    monkeypatch.setattr(md.Trajectory, "unitcell_vectors", make_boxes.getter(count))
    assert measure(trajectory).frames == FRAMES
    assert 1 <= sum(frames > 1 for frames in asked) <= 5
