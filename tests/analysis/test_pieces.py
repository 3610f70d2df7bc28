"""Frames that Dask workers share in pieces: the results of one process, to the last bit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import Jiggle, add_box, make_trajectory
from distributed import KilledWorker
from typer.testing import Result as Answer

from orbmm.analysis import (
    Result,
    compute_bond_events,
    compute_hydrogen_bonds,
    compute_native_contacts,
    compute_rdf_oh,
    compute_rdf_oo,
    compute_secondary_structure,
    open_workers,
)
from orbmm.analysis.pieces import Piece, Workers, map_frames
from orbmm.analysis.reading import frames as reading
from orbmm.analysis.reading.frames import TrajectoryFile, read_chunks
from orbmm.errors import AnalysisError

FRAMES, CHUNK = 23, 9  # neither is a multiple of the other
WATER = (compute_hydrogen_bonds, compute_bond_events, compute_rdf_oo, compute_rdf_oh)
PROTEIN = (compute_native_contacts, compute_secondary_structure)
SIZES = (1, 2, 4, 9, 100)


@dataclass(frozen=True)
class Done:
    """A future of Dask that has its result."""

    value: Any

    def result(self) -> Any:
        return self.value


class HereClient:
    """A client of Dask that calls at once, in this process."""

    def __init__(self) -> None:
        self.calls = 0

    def scatter(self, function: Callable, broadcast: bool, hash: bool) -> Callable:
        return function

    def submit(self, call: Callable, function: Callable, piece: Piece, pure: bool) -> Done:
        self.calls += 1
        return Done(call(function, piece))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ATOMS_PER_CHUNK", CHUNK * 202)


@pytest.fixture
def water(tmp_path: Path, small_chunks: None) -> TrajectoryFile:
    """Alanine dipeptide among 60 waters, which shake so much that bonds break."""
    trajectory = make_trajectory(Jiggle(FRAMES, shake_nm=0.02))
    trajectory.save_xtc(str(tmp_path / "water.xtc"))
    return TrajectoryFile(tmp_path / "water.xtc", trajectory.topology, periodic=True)


@pytest.fixture
def protein(tmp_path: Path, small_chunks: None) -> TrajectoryFile:
    """A helix that frays."""
    start = grow_backbone(-57.0, -47.0, residues=50)
    frays = np.linspace(0.0, 0.06, FRAMES)[:, None, None] * np.random.default_rng(0).normal(size=(1, start.n_atoms, 3))
    moving = add_box(md.Trajectory(start.xyz + 4.0 + frays, start.topology), 12.0 * np.eye(3))
    moving.save_xtc(str(tmp_path / "protein.xtc"))
    return TrajectoryFile(tmp_path / "protein.xtc", start.topology, periodic=True)


def share(frames: TrajectoryFile, size: int | None) -> TrajectoryFile:
    return replace(frames, workers=Workers(HereClient(), 2, size))


def are_same(one: Result, other: Result) -> bool:
    """Whether two results hold the same bits."""
    return one.method == other.method and one.format() == other.format()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("compute", WATER)
def test_water_in_pieces_has_the_same_bits(compute: Callable, size: int, water: TrajectoryFile) -> None:
    assert are_same(compute(share(water, size)), compute(water))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("compute", PROTEIN)
def test_a_protein_in_pieces_has_the_same_bits(compute: Callable, size: int, protein: TrajectoryFile) -> None:
    assert are_same(compute(share(protein, size)), compute(protein))


def test_averages_that_leave_frames_out_have_the_same_bits(water: TrajectoryFile) -> None:
    for compute in (compute_rdf_oo, compute_rdf_oh):
        assert are_same(compute(share(water, 2), discard_ps=0.055), compute(water, discard_ps=0.055))
        assert not are_same(compute(share(water, 2), discard_ps=0.055), compute(water))


def test_pieces_in_a_wrong_order_are_noticed(water: TrajectoryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    serial = {compute: compute(water) for compute in (compute_hydrogen_bonds, compute_bond_events)}
    cut = Piece.cut
    monkeypatch.setattr(Piece, "cut", lambda piece, size: reversed(list(cut(piece, size))))
    for compute, expected in serial.items():
        assert not are_same(compute(share(water, 2)), expected)


def test_a_piece_that_is_lost_is_noticed(
    water: TrajectoryFile, protein: TrajectoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [(compute, water) for compute in WATER] + [(compute, protein) for compute in PROTEIN]
    serial = [compute(frames) for compute, frames in cases]
    cut = Piece.cut

    def lose(piece: Piece, size: int) -> Iterator[Piece]:
        yield from list(cut(piece, size))[1:]

    monkeypatch.setattr(Piece, "cut", lose)
    for (compute, frames), expected in zip(cases, serial, strict=True):
        assert not are_same(compute(share(frames, 2)), expected)


def test_every_chunk_is_cut_for_all_workers(water: TrajectoryFile) -> None:
    shared = share(water, None)
    lengths = list(map_frames(shared, len, read_chunks(water)))
    assert lengths == [2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]  # 9, 9 and 5 frames in at most 8 pieces
    assert shared.workers.client.calls == len(lengths)


@pytest.mark.filterwarnings("default")  # what Dask warns of is not ours
def test_a_worker_of_dask_gives_the_same_bits_and_its_errors(protein: TrajectoryFile) -> None:
    def refuse(piece: Piece) -> None:  # within the test, so that it is sent whole: workers cannot import the tests
        raise AnalysisError("of no use")

    with open_workers(1) as workers:
        shared = replace(protein, workers=workers)
        for compute in PROTEIN:
            assert are_same(compute(shared), compute(protein))
        with pytest.raises(AnalysisError, match="of no use"):
            list(map_frames(shared, refuse, read_chunks(protein)))


def test_workers_that_are_lost_are_said_in_one_sentence(water: TrajectoryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(future: Done) -> None:
        raise KilledWorker("task", None, 3)

    monkeypatch.setattr(Done, "result", lose)
    with pytest.raises(AnalysisError, match="ended again and again.*take fewer --workers"):
        compute_hydrogen_bonds(share(water, 2))


@pytest.mark.filterwarnings("default")
def test_the_command_writes_the_same_files_with_workers(
    analyze: Callable[..., Answer], run_folder: Path, tmp_path: Path
) -> None:
    written = []
    for options in ([], ["--workers", 2]):
        folder = tmp_path / f"analysis-{len(options)}"
        answer = analyze(run_folder, "--output", folder, *options)
        assert answer.exit_code == 0, answer.output
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1] and "rdf_oo.npz" in written[0]


def test_without_dask_one_sentence_says_what_to_install(
    analyze: Callable[..., Answer], run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = analyze(run_folder, "--workers", 2)
    assert answer.exit_code == 2
    assert "--workers needs the package distributed" in answer.output
    assert "pip install 'orbmm[ensemble]'" in answer.output.replace("\n", " ")
