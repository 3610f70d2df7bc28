"""The content of tables and frames is compared with the checkpoint before a resumed run changes anything."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orbmm.errors import RunError
from orbmm.forces.confidence import AtomConfidence
from orbmm.settings import Settings, override_settings
from orbmm.simulation.folder import content
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.folder.content import ContentHashes
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


class Meter:
    """The same confidence at every step."""

    bin_edges = np.linspace(0.0, 0.3, 51)

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> AtomConfidence:
        """Return the third bin for each atom."""
        return AtomConfidence(np.full(len(positions), 3, np.uint8), np.full(len(positions), 0.05))


def _stop_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.stage == "produce" and progress.step >= step:
            raise KeyboardInterrupt

    return stop


@pytest.fixture(params=["xtc", "dcd"])
def file_format(request: pytest.FixtureRequest) -> str:
    """The format of the trajectory."""
    return str(request.param)


@pytest.fixture
def interrupted(settings: Settings, classical_forces: Forces, file_format: str) -> Path:
    """A run with all kinds of growing files, killed at step 44 of 60; its last checkpoint is of step 40."""
    settings = override_settings(settings, {"run": {"confidence_every_fs": 4.0, "trajectory": file_format}})
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(44), classical_forces(confidence=Meter()))
    assert settings.run.output is not None
    return settings.run.output


def _list_contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _refuse(run: Path, forces: ForceSource, request: ResumeRequest | None = None) -> str:
    before = _list_contents(run)
    with pytest.raises(RunError) as refusal:
        resume_run(run, forces=forces, request=request or ResumeRequest())
    assert "\n" not in str(refusal.value) and _list_contents(run) == before
    return str(refusal.value)


def _read_index(run: Path) -> dict:
    return dict(json.loads((run / "checkpoints" / "step-000000000040" / "checkpoint.json").read_text()))


def _drop_hashes(run: Path) -> None:
    """Make the checkpoints those of a version that kept no hashes of the files."""
    for path in (run / "checkpoints").glob("*/checkpoint.json"):
        index = json.loads(path.read_text())
        del index["content"]
        path.write_text(json.dumps(index))


def _flip(path: Path, at: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[at] ^= 1
    path.write_bytes(changed)


@pytest.mark.parametrize("where", ["the first byte", "the middle", "the last byte of the checkpoint"])
@pytest.mark.parametrize("name", ["energies.csv", "confidence.dat", "trajectory"])
def test_one_changed_bit_is_refused(
    name: str, where: str, interrupted: Path, file_format: str, classical_forces: Forces
) -> None:
    path = interrupted / (f"trajectory.{file_format}" if name == "trajectory" else name)
    size = _read_index(interrupted)["sizes"][path.name]
    _flip(path, {"the first byte": 0, "the middle": size // 2, "the last byte of the checkpoint": size - 1}[where])
    for request in (ResumeRequest(), ResumeRequest(extend_ps=0.01)):
        sentence = _refuse(interrupted, classical_forces(confidence=Meter()), request)
        assert f"{path} is not as this run has written it" in sentence and "step-000000000040" in sentence


def test_what_comes_after_the_checkpoint_is_cut_as_before(
    interrupted: Path, file_format: str, classical_forces: Forces
) -> None:
    sizes = _read_index(interrupted)["sizes"]
    assert (interrupted / "energies.csv").stat().st_size == sizes["energies.csv"]
    with (interrupted / "energies.csv").open("ab") as stream:
        stream.write(b"torn")
    _flip(interrupted / f"trajectory.{file_format}", sizes[f"trajectory.{file_format}"] + 60)
    assert resume_run(interrupted, forces=classical_forces(confidence=Meter())).finished


def test_a_trajectory_of_another_run_is_refused(
    settings: Settings, interrupted: Path, file_format: str, classical_forces: Forces, tmp_path: Path
) -> None:
    changes = {"trajectory": file_format, "seed": 7, "output": tmp_path / "other"}
    other = start_run(override_settings(settings, {"run": changes}), forces=classical_forces()).folder
    name = f"trajectory.{file_format}"
    shutil.copy(other / name, interrupted / name)
    assert "is not as this run has written it" in _refuse(interrupted, classical_forces(confidence=Meter()))


def test_a_complete_run_is_checked_before_it_is_called_complete(settings: Settings, classical_forces: Forces) -> None:
    run = start_run(settings, forces=classical_forces()).folder
    assert resume_run(run, forces=classical_forces()).finished
    _flip(run / "energies.csv", 100)
    assert "energies.csv is not as this run" in _refuse(run, classical_forces())


def test_the_hashes_are_those_of_the_files(interrupted: Path, classical_forces: Forces) -> None:
    index = _read_index(interrupted)
    assert index["content"].keys() == index["sizes"].keys()
    for name in ("energies.csv", "confidence.dat"):
        kept = (interrupted / name).read_bytes()[: index["sizes"][name]]
        assert index["content"][name] == hashlib.sha256(kept).hexdigest()


@pytest.mark.parametrize("damage", [None, 3, "x", {}, {"energies.csv": "0" * 64}, "missing", "short"])
def test_hashes_of_another_shape_are_a_damaged_checkpoint(
    damage: object, interrupted: Path, classical_forces: Forces
) -> None:
    path = interrupted / "checkpoints" / "step-000000000040" / "checkpoint.json"
    index = json.loads(path.read_text())
    if damage == "missing":
        del index["content"]["energies.csv"]
    elif damage == "short":
        index["content"]["energies.csv"] = "0" * 63
    else:
        index["content"] = damage
    path.write_text(json.dumps(index))
    assert resume_run(interrupted, forces=classical_forces(confidence=Meter())).finished, "the one before it is used"


def test_a_run_of_an_older_version_goes_on_and_has_hashes_from_then_on(
    interrupted: Path, classical_forces: Forces, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    alone = shutil.copytree(interrupted, tmp_path / "alone")
    _drop_hashes(interrupted)
    caplog.set_level("INFO")
    for run in (interrupted, alone):
        assert resume_run(run, forces=classical_forces(confidence=Meter())).finished
    assert sum("has no hashes" in record.message for record in caplog.records) == 1
    indices = [
        json.loads((run / "checkpoints/step-000000000060/checkpoint.json").read_text()) for run in (interrupted, alone)
    ]
    names = [name for name in indices[0]["content"] if not name.endswith(".csv")]  # which hold the speed
    assert [indices[0]["content"][name] for name in names] == [indices[1]["content"][name] for name in names]


@pytest.mark.parametrize("damage", ["header", "other atoms", "empty frames"])
def test_a_trajectory_without_a_hash_must_still_begin_as_one_of_this_run(
    damage: str, interrupted: Path, file_format: str, classical_forces: Forces
) -> None:
    _drop_hashes(interrupted)
    path = interrupted / f"trajectory.{file_format}"
    whole = bytearray(path.read_bytes())
    if damage == "header":
        whole[0:8] = b"\xff" * 8
    elif damage == "other atoms":
        place, kind = (4, ">i") if file_format == "xtc" else (268, "<i")
        struct.pack_into(kind, whole, place, 44)
    else:
        whole = bytearray(len(whole))
    path.write_bytes(whole)
    assert f"{path} is no trajectory of this run" in _refuse(interrupted, classical_forces(confidence=Meter()))


def test_a_second_writer_is_noticed_at_the_next_entry(settings: Settings, classical_forces: Forces) -> None:
    """Two processes that both hold the lock, as on a file system that keeps locks for each host alone."""
    table = settings.run.output / "energies.csv" if settings.run.output else Path()

    def intrude(progress: Progress) -> None:
        if progress.step == 30:
            with table.open("a") as stream:
                stream.write("40,0.02,a row of another process\n")

    with pytest.raises(RunError, match=r"energies.csv holds \d+ bytes, but this process left \d+: another process"):
        start_run(settings, intrude, classical_forces())
    assert resume_run(table.parent, forces=classical_forces()).finished
    steps = [int(row.split(",")[0]) for row in table.read_text().splitlines()[1:]]
    assert steps == list(range(0, 61, 10))


def test_a_hash_costs_what_was_added_since_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, hashes, read = tmp_path / "table.csv", ContentHashes(), []
    open_regular = content.open_regular

    def count(opened: Path, mode: str) -> object:
        stream = open_regular(opened, mode)  # type: ignore[arg-type]
        whole = stream.read

        def counted(size: int) -> bytes:
            chunk = whole(size)
            read.append(len(chunk))
            return chunk

        stream.read = counted  # type: ignore[method-assign]
        return stream

    monkeypatch.setattr(content, "open_regular", count)
    text = b""
    for entry in range(50):
        text += b"%d\n" % entry * 1000
        path.write_bytes(text)
        assert hashes.compute(path, len(text)) == hashlib.sha256(text).hexdigest()
    assert sum(read) == len(text)
    assert hashes.compute(path, 10) == hashlib.sha256(text[:10]).hexdigest(), "a shorter piece is hashed anew"


def test_the_counts_of_a_dcd_header_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.dcd"
    whole = bytes(range(256)) * 4
    path.write_bytes(whole)
    digest = ContentHashes().compute(path, len(whole))
    for at in range(60):
        _flip(path, at)
        assert (ContentHashes().compute(path, len(whole)) == digest) == (at in (8, 9, 10, 11, 20, 21, 22, 23))
        path.write_bytes(whole)
