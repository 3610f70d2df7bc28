"""A resumed run cuts, writes and removes nothing that is not its own, whatever lies in its folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orbmm.errors import OrbmmError, RunError, UnsafeFile
from orbmm.settings import Settings, StageSettings, override_settings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]
PRECIOUS = b"years of work\n" * 100


def _stop_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    return stop


@pytest.fixture
def interrupted(settings: Settings, classical_forces: Forces) -> Path:
    """A run of 60 steps that was killed at step 44; its checkpoints are of the steps 20 and 40."""
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(44), classical_forces())
    assert settings.run.output is not None
    return settings.run.output


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user beside the run folder."""
    path = tmp_path / "precious.txt"
    path.write_bytes(PRECIOUS)
    return path


def _list_contents(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder; run.lock names whoever came last."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _change_index(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite checkpoint.json of both checkpoints, with a hash for each name."""
    for path in (run / "checkpoints").glob("*/checkpoint.json"):
        index = change(json.loads(path.read_text()))
        if isinstance(index, dict) and isinstance(index["sizes"], dict):
            index["content"] = dict.fromkeys(index["sizes"], "0" * 64) | index["content"]
            index["content"] = {name: index["content"][name] for name in index["sizes"]}
        path.write_text(json.dumps(index))


def _expect_refusal(run: Path, forces: ForceSource, kind: type[OrbmmError] = RunError) -> str:
    """Resume, expect one sentence, and that nothing in the folder has changed; return the sentence."""
    before = _list_contents(run)
    with pytest.raises(kind) as refusal:
        resume_run(run, forces=forces)
    assert "\n" not in str(refusal.value)
    assert _list_contents(run) == before
    return str(refusal.value)


OTHER_NAMES = {
    "a file beside the run": "../precious.txt",
    "a detour": "./../precious.txt",
    "a way through a folder": "input/../../precious.txt",
    "a file of the run that grows in no phase": "settings.toml",
    "a file of the other phase": "equilibration.csv",
    "another spelling": "ENERGIES.csv",
    "a look-alike": "energies․csv",
    "no name": "",
    "a zero byte": "energies.csv\0",
}


@pytest.mark.parametrize("name", OTHER_NAMES.values(), ids=OTHER_NAMES.keys())
def test_only_files_of_the_phase_are_cut(
    name: str, interrupted: Path, precious: Path, classical_forces: Forces
) -> None:
    _change_index(interrupted, lambda index: index | {"sizes": {**index["sizes"], name: 0}})
    assert "names other files" in _expect_refusal(interrupted, classical_forces())
    assert precious.read_bytes() == PRECIOUS


def test_an_absolute_name_is_not_cut(interrupted: Path, precious: Path, classical_forces: Forces) -> None:
    _change_index(interrupted, lambda index: index | {"sizes": {**index["sizes"], str(precious): 0}})
    assert "names other files" in _expect_refusal(interrupted, classical_forces())
    assert precious.read_bytes() == PRECIOUS


def test_a_checkpoint_must_name_every_file_of_its_phase(interrupted: Path, classical_forces: Forces) -> None:
    _change_index(interrupted, lambda index: index | {"sizes": {"energies.csv": index["sizes"]["energies.csv"]}})
    assert "names other files" in _expect_refusal(interrupted, classical_forces())


@pytest.mark.parametrize("more", [1, 10**30])
def test_a_size_beyond_the_file_stops_before_anything_is_cut(
    more: int, interrupted: Path, classical_forces: Forces
) -> None:
    length = (interrupted / "trajectory.xtc").stat().st_size
    _change_index(interrupted, lambda index: index | {"sizes": {**index["sizes"], "trajectory.xtc": length + more}})
    assert "damaged" in _expect_refusal(interrupted, classical_forces())


DAMAGED_INDICES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda index: [index],
    "a number": lambda index: 3,
    "no hashes": lambda index: {key: value for key, value in index.items() if key != "sha256"},
    "a hash of another file": lambda index: index | {"sha256": {**index["sha256"], "../../../precious.txt": "0" * 64}},
    "only one hash": lambda index: index | {"sha256": {"state.xml": index["sha256"]["state.xml"]}},
    "a negative size": lambda index: index | {"sizes": {**index["sizes"], "energies.csv": -1}},
    "a size in words": lambda index: index | {"sizes": {**index["sizes"], "energies.csv": "10"}},
    "true for a size": lambda index: index | {"sizes": {**index["sizes"], "energies.csv": True}},
    "sizes in a list": lambda index: index | {"sizes": [["energies.csv", 1]]},
    "another step": lambda index: index | {"step": index["step"] + 1},
    "an endless step": lambda index: index | {"step": 10**30},
    "half a step": lambda index: index | {"step": index["step"] + 0.5},
    "a stage in words": lambda index: index | {"stage": "x"},
    "a negative stage": lambda index: index | {"stage": -1},
}


@pytest.mark.parametrize("change", DAMAGED_INDICES.values(), ids=DAMAGED_INDICES.keys())
def test_an_index_of_another_shape_is_a_damaged_checkpoint(
    change: Callable[[dict[str, Any]], Any], interrupted: Path, classical_forces: Forces
) -> None:
    shutil.copytree(interrupted, interrupted.with_name("both"))
    newest = interrupted / "checkpoints" / "step-000000000040" / "checkpoint.json"
    newest.write_text(json.dumps(change(json.loads(newest.read_text()))))
    assert resume_run(interrupted, forces=classical_forces()).finished, "the one before it is used"
    _change_index(interrupted.with_name("both"), change)
    assert "no usable checkpoint" in _expect_refusal(interrupted.with_name("both"), classical_forces())


def test_an_index_of_an_older_version_is_read(interrupted: Path, classical_forces: Forces) -> None:
    """It named the platform too, and runs from before there were stages have no number of one."""
    _change_index(interrupted, lambda index: {"platform": "Reference", **index, "stage": None})
    assert resume_run(interrupted, forces=classical_forces()).finished


def test_a_deeply_nested_index_is_a_damaged_checkpoint(interrupted: Path, classical_forces: Forces) -> None:
    (interrupted / "checkpoints" / "step-000000000040" / "checkpoint.json").write_text("[" * 50_000)
    assert resume_run(interrupted, forces=classical_forces()).finished


def test_a_stage_that_the_run_has_not_is_refused(interrupted: Path, classical_forces: Forces) -> None:
    _change_index(interrupted, lambda index: index | {"stage": 99})
    assert "is of no stage of this run" in _expect_refusal(interrupted, classical_forces())


def test_a_step_beyond_the_run_is_not_its_end(interrupted: Path, classical_forces: Forces) -> None:
    checkpoint = interrupted / "checkpoints" / "step-000000000040"
    index = json.loads((checkpoint / "checkpoint.json").read_text()) | {"step": 10**14}
    (checkpoint / "checkpoint.json").write_text(json.dumps(index))
    checkpoint.rename(checkpoint.with_name("step-100000000000000"))
    assert "production ends at step 60" in _expect_refusal(interrupted, classical_forces())


APPENDED = ("trajectory.xtc", "energies.csv")


@pytest.mark.parametrize("name", [*APPENDED, "equilibration.csv", "confidence.dat", "trajectory.dcd"])
@pytest.mark.parametrize("kind", ["link", "link to a link", "hard link", "pipe", "folder"])
def test_no_link_is_followed_for_writing(
    kind: str, name: str, interrupted: Path, precious: Path, classical_forces: Forces
) -> None:
    path = interrupted / name
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "link to a link":
        (interrupted / "between").symlink_to(precious)
        path.symlink_to("between")
    elif kind == "hard link":
        os.link(precious, path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert name in _expect_refusal(interrupted, classical_forces(), UnsafeFile)
    assert precious.read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", ["settings.toml", "run.json", "topology.pdb", "trajectory.pdb", "confidence.json"])
def test_a_link_in_place_of_a_file_that_is_written_anew_is_refused(
    name: str, interrupted: Path, tmp_path: Path, classical_forces: Forces
) -> None:
    path, elsewhere = interrupted / name, tmp_path / "elsewhere"
    elsewhere.write_bytes(path.read_bytes() if path.exists() else PRECIOUS)
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere)
    assert f"{name} is a link" in _expect_refusal(interrupted, classical_forces(), UnsafeFile)


@pytest.mark.parametrize("name", ["checkpoints", "rescue", "input"])
def test_a_link_in_place_of_a_folder_is_refused(
    name: str, interrupted: Path, tmp_path: Path, classical_forces: Forces
) -> None:
    elsewhere = tmp_path / "elsewhere"
    if (interrupted / name).exists():
        (interrupted / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (interrupted / name).symlink_to(elsewhere)
    before = _list_contents(elsewhere)
    assert f"{name} is a link" in _expect_refusal(interrupted, classical_forces(), UnsafeFile)
    assert _list_contents(elsewhere) == before


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_the_lock_is_no_way_to_another_file(
    kind: str, interrupted: Path, precious: Path, classical_forces: Forces
) -> None:
    lock = interrupted / "run.lock"
    lock.unlink()
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "link":
        lock.symlink_to(precious)
    else:
        os.link(precious, lock)
    with pytest.raises(UnsafeFile, match=r"run\.lock"):
        resume_run(interrupted, forces=classical_forces())
    assert precious.read_bytes() == PRECIOUS


def test_a_planted_input_folder_receives_no_copies(
    settings: Settings, tmp_path: Path, classical_forces: Forces
) -> None:
    """A folder that a killed start left may be taken over: with its lock, and an input folder that is a link."""
    output, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    output.mkdir()
    elsewhere.mkdir()
    (output / "run.lock").touch()
    (output / "input").symlink_to(elsewhere)
    with pytest.raises(UnsafeFile, match="input is a link"):
        start_run(settings, forces=classical_forces())
    assert list(elsewhere.iterdir()) == []


def _put(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_bytes(PRECIOUS)
    return path


USER_FOLDERS = (
    "backup-step-000000000010",
    "step-000000000010-keep",
    "step-10",
    "my-notes",
    "the-old",
    "unfinished",
    "step-000000000099",
    "step-000000000050",
    "Step-000000000010",
)
COPIES = ("before-the-upgrade", "step-0000000000020", "step-000000000000050")


def test_what_a_user_puts_among_the_checkpoints_stays_and_changes_nothing(
    interrupted: Path, settings: Settings, tmp_path: Path, classical_forces: Forces
) -> None:
    alone = shutil.copytree(interrupted, tmp_path / "alone")
    folder = interrupted / "checkpoints"
    for name in USER_FOLDERS:
        _put(folder / name)
    for name in COPIES:
        shutil.copytree(folder / "step-000000000020", folder / name)
    (folder / "step-000000000097").symlink_to(folder / "step-000000000020")
    (folder / "notes-of-today").write_bytes(PRECIOUS)
    for run in (interrupted, alone):
        assert resume_run(run, forces=classical_forces()).finished
    for name in ("trajectory.xtc", "topology.pdb"):
        assert (interrupted / name).read_bytes() == (alone / name).read_bytes()
    assert all((folder / name / "notes.txt").read_bytes() == PRECIOUS for name in USER_FOLDERS)
    assert (folder / "notes-of-today").read_bytes() == PRECIOUS
    assert (folder / "step-000000000097").is_symlink()
    assert all((folder / name / "state.xml").is_file() for name in COPIES)
    own = {path.name for path in (alone / "checkpoints").iterdir()}
    assert own == {"step-000000000040", "step-000000000060"}
    assert own <= {path.name for path in folder.iterdir()}


def test_a_folder_in_the_place_of_the_next_checkpoint_is_named(interrupted: Path, classical_forces: Forces) -> None:
    taken = _put(interrupted / "checkpoints" / "step-000000000060")
    with pytest.raises(RunError, match="step-000000000060.*a file or folder of this name is not a checkpoint; move it"):
        resume_run(interrupted, forces=classical_forces())
    assert (taken / "notes.txt").read_bytes() == PRECIOUS
    shutil.rmtree(taken)
    assert resume_run(interrupted, forces=classical_forces()).finished


@pytest.mark.parametrize("request_", [ResumeRequest(), ResumeRequest(extend_ps=0.01)], ids=["resume", "extend"])
def test_a_run_without_its_checkpoints_is_not_begun_anew(
    request_: ResumeRequest, interrupted: Path, classical_forces: Forces
) -> None:
    shutil.rmtree(interrupted / "checkpoints")
    before = _list_contents(interrupted)
    with pytest.raises(RunError, match="restore the checkpoints from a copy, or start a new run"):
        resume_run(interrupted, forces=classical_forces(), request=request_)
    assert _list_contents(interrupted) == before


@pytest.mark.parametrize("kept", ["trajectory.xtc", "energies.csv"])
def test_each_file_beyond_step_0_is_enough(kept: str, interrupted: Path, classical_forces: Forces) -> None:
    shutil.rmtree(interrupted / "checkpoints")
    for name in APPENDED:
        if name != kept:
            (interrupted / name).unlink()
    assert kept in _expect_refusal(interrupted, classical_forces())


def test_a_dcd_beyond_step_0_is_enough(settings: Settings, classical_forces: Forces) -> None:
    settings = override_settings(settings, {"run": {"trajectory": "dcd"}})
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(44), classical_forces())
    run = settings.run.output
    assert run is not None
    shutil.rmtree(run / "checkpoints")
    (run / "energies.csv").unlink()
    assert "trajectory.dcd" in _expect_refusal(run, classical_forces())


def test_production_is_not_begun_anew_from_a_checkpoint_before_it(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    stages = (StageSettings(kind="equilibrate", length_ps=0.01), StageSettings(kind="produce"))
    settings = Settings(settings.system, run=settings.run, stage=stages)
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, lambda progress: _keep_equilibration(progress, tmp_path / "run"), classical_forces())
    run = tmp_path / "run"
    for path in (run / "checkpoints").glob("step-*"):
        shutil.rmtree(path)
    (run / "kept").rename(run / "checkpoints" / "equilibration-000000000020")
    assert "energies.csv goes beyond step 0" in _expect_refusal(run, classical_forces()).replace(
        "trajectory.xtc", "energies.csv"
    )


def _keep_equilibration(progress: Progress, run: Path) -> None:
    """Copy the last checkpoint of equilibration, and kill the run at step 44 of production."""
    last = run / "checkpoints" / "equilibration-000000000020"
    if last.exists() and not (run / "kept").exists():
        shutil.copytree(last, run / "kept")
    if progress.stage == "produce" and progress.step >= 44:
        raise KeyboardInterrupt


@pytest.mark.parametrize("step", [0, -1])
def test_a_run_killed_at_its_first_step_begins_anew(
    step: int, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    """At step 0 it has a frame, a row, and with step -1 no checkpoint yet."""
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(0), classical_forces())
    run = settings.run.output
    assert run is not None
    if step < 0:
        shutil.rmtree(run / "checkpoints")
    assert resume_run(run, forces=classical_forces()).finished
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    assert (run / "trajectory.xtc").read_bytes() == (whole.folder / "trajectory.xtc").read_bytes()


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"settings": 1, "inputs": [], "weights_sha256": 0, "platform": 0}'])
def test_a_record_of_another_shape_is_damaged(text: str, interrupted: Path, classical_forces: Forces) -> None:
    (interrupted / "run.json").write_text(text)
    assert "run.json is damaged" in _expect_refusal(interrupted, classical_forces())


def test_a_pipe_in_place_of_the_record_does_not_wait(interrupted: Path, classical_forces: Forces) -> None:
    (interrupted / "run.json").unlink()
    os.mkfifo(interrupted / "run.json")
    assert "is not a run folder" in _expect_refusal(interrupted, classical_forces())


@pytest.mark.parametrize("damage", ["cut", "extended", "noise", "empty", "another step", "altered positions"])
def test_a_damaged_binary_checkpoint_gives_way_to_the_portable_state(
    damage: str, interrupted: Path, classical_forces: Forces, caplog: pytest.LogCaptureFixture
) -> None:
    """Its hash is right: only the comparison with state.xml finds it out."""
    checkpoint = interrupted / "checkpoints" / "step-000000000040"
    binary = checkpoint / "context.chk"
    content = binary.read_bytes()
    changed = {
        "cut": content[: len(content) // 3],
        "extended": content[:200] + content,
        "noise": hashlib.sha256(b"noise").digest() * 100,
        "empty": b"",
        "another step": (checkpoint.with_name("step-000000000020") / "context.chk").read_bytes(),
        "altered positions": content[:1000] + bytes(200) + content[1200:],
    }[damage]
    binary.write_bytes(changed)
    index = json.loads((checkpoint / "checkpoint.json").read_text())
    index["sha256"]["context.chk"] = hashlib.sha256(changed).hexdigest()
    (checkpoint / "checkpoint.json").write_text(json.dumps(index))
    assert resume_run(interrupted, forces=classical_forces()).finished
    assert "continuing from the portable state" in caplog.text


def test_a_run_folder_reached_through_a_link_is_resumed(
    interrupted: Path, tmp_path: Path, classical_forces: Forces
) -> None:
    (tmp_path / "link").symlink_to(interrupted)
    assert resume_run(tmp_path / "link", forces=classical_forces()).finished


@pytest.mark.parametrize("name", ["step-000000000010", "step-000000000050", ".unfinished-0123456789ab"])
def test_a_folder_with_folders_in_it_is_no_checkpoint(name: str, interrupted: Path, classical_forces: Forces) -> None:
    for inner in ("state.xml", "checkpoint.json"):
        (interrupted / "checkpoints" / name / inner).mkdir(parents=True)
    notes = interrupted / "checkpoints" / name / "state.xml" / "notes.txt"
    notes.write_bytes(PRECIOUS)
    assert resume_run(interrupted, forces=classical_forces()).finished
    assert notes.read_bytes() == PRECIOUS


def test_a_state_with_too_few_velocities_is_refused(interrupted: Path, classical_forces: Forces) -> None:
    shutil.rmtree(interrupted / "checkpoints" / "step-000000000020")
    checkpoint = interrupted / "checkpoints" / "step-000000000040"
    state = re.sub(r"\s*<Velocity [^>]*>", "", (checkpoint / "state.xml").read_text(), count=3)
    (checkpoint / "state.xml").write_text(state)
    index = json.loads((checkpoint / "checkpoint.json").read_text())
    index["sha256"]["state.xml"] = hashlib.sha256(state.encode()).hexdigest()
    (checkpoint / "checkpoint.json").write_text(json.dumps(index))
    with pytest.raises(RunError, match="state.xml does not fit this run"):
        resume_run(interrupted, forces=classical_forces())


@pytest.mark.parametrize("value", ["[" * 300 + "]" * 300, "NaN", "1e999"], ids=["nested", "not a number", "infinite"])
def test_a_record_that_orbmm_cannot_have_written_is_damaged(
    value: str, interrupted: Path, classical_forces: Forces
) -> None:
    text = (interrupted / "run.json").read_text()
    (interrupted / "run.json").write_text(f'{{"note": {value},{text[1:]}')
    assert "run.json is damaged" in _expect_refusal(interrupted, classical_forces())


@pytest.mark.parametrize("key", ["settings", "inputs", "weights_sha256", "platform", "changed"])
@pytest.mark.parametrize("value", [5, None, True], ids=str)
def test_an_entry_of_the_record_in_another_form_is_damage(
    value: object, key: str, interrupted: Path, classical_forces: Forces
) -> None:
    record = json.loads((interrupted / "run.json").read_text())
    (interrupted / "run.json").write_text(json.dumps(record | {key: value}))
    with pytest.raises(RunError, match=f"run.json is damaged .{key} is {value}"):
        resume_run(interrupted, forces=classical_forces(), request=ResumeRequest(extend_ps=0.01))


def test_a_huge_table_is_not_read_to_see_that_it_goes_beyond_step_0(
    interrupted: Path, classical_forces: Forces
) -> None:
    shutil.rmtree(interrupted / "checkpoints")
    (interrupted / "trajectory.xtc").unlink()
    with (interrupted / "energies.csv").open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(RunError, match=r"energies\.csv goes beyond step 0"):
        resume_run(interrupted, forces=classical_forces())
