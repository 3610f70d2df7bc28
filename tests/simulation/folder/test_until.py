"""A run is made longer once, however often the command is repeated and wherever it is killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.errors import RunError, SettingsError
from orbmm.settings import Settings, StageSettings, read_settings
from orbmm.simulation.folder import changes
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]
UNTIL, LONGER = ResumeRequest(until_ps=0.04), ResumeRequest(extend_ps=0.01)


def _stop_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    return stop


def _list_changes(folder: Path) -> list[dict[str, str]]:
    return [entry["changes"] for entry in json.loads((folder / "run.json").read_text()).get("changed", [])]


def test_until_sets_the_total_length_once(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    for _ in range(3):
        outcome = resume_run(folder, forces=classical_forces(), request=UNTIL)
        assert (outcome.step, outcome.finished) == (80, True)
    assert read_settings(folder / "settings.toml").run.length_ps == 0.04
    assert _list_changes(folder) == [{"run.length_ps": "0.03 -> 0.04"}]


def test_until_repeated_after_each_kill_gives_that_length(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    for step in (62, 70, 76):
        with pytest.raises(KeyboardInterrupt):
            resume_run(folder, _stop_at(step), classical_forces(), UNTIL)
    assert resume_run(folder, forces=classical_forces(), request=UNTIL).step == 80


def test_until_counts_all_stages_of_production(settings: Settings, classical_forces: Forces) -> None:
    stages = (
        StageSettings(kind="equilibrate", length_ps=0.005),
        StageSettings(kind="produce", length_ps=0.01),
        StageSettings(kind="produce", length_ps=0.02),
    )
    folder = start_run(Settings(settings.system, run=settings.run, stage=stages), forces=classical_forces()).folder
    assert resume_run(folder, forces=classical_forces(), request=UNTIL).step == 80
    assert [stage.length_ps for stage in read_settings(folder / "settings.toml").stage] == [0.005, 0.01, 0.03]


@pytest.mark.parametrize(
    "request_, message",
    [
        (ResumeRequest(until_ps=0.02), r"--until is 0.02 ps, but the run is 0.03 ps long already"),
        (ResumeRequest(until_ps=0.04, extend_ps=0.01), "give --until or --extend, not both"),
    ],
)
def test_what_until_cannot_do_is_refused_and_changes_nothing(
    request_: ResumeRequest, message: str, settings: Settings, classical_forces: Forces
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    before = (folder / "settings.toml").read_text(), (folder / "run.json").read_text()
    with pytest.raises(RunError, match=message):
        resume_run(folder, forces=classical_forces(), request=request_)
    with pytest.raises(SettingsError, match="whole number of time steps"):
        resume_run(folder, forces=classical_forces(), request=ResumeRequest(until_ps=0.0403))
    assert ((folder / "settings.toml").read_text(), (folder / "run.json").read_text()) == before


def test_an_extension_is_not_added_again_before_it_is_reached(
    settings: Settings, classical_forces: Forces, caplog: pytest.LogCaptureFixture
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    for step in (62, 70):
        with pytest.raises(KeyboardInterrupt):
            resume_run(folder, _stop_at(step), classical_forces(), LONGER)
    assert resume_run(folder, forces=classical_forces(), request=LONGER).step == 80
    assert _list_changes(folder) == [{"run.length_ps": "0.03 -> 0.04"}]
    assert "--extend is not added again" in caplog.text and "--until" in caplog.text
    assert resume_run(folder, forces=classical_forces(), request=LONGER).step == 100, "once reached, it is"


def test_a_run_that_was_never_extended_is_extended_before_its_end(settings: Settings, classical_forces: Forces) -> None:
    """Control: only an extension is not repeated, not the length that the run began with."""
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(44), classical_forces())
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces(), request=LONGER).step == 80


@pytest.mark.parametrize("request_", [UNTIL, LONGER], ids=["until", "extend"])
@pytest.mark.parametrize("repeated", [False, True], ids=["plain resume", "same command"])
@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_kill_at_any_write_leaves_a_run_that_goes_on(
    written: int,
    repeated: bool,
    request_: ResumeRequest,
    settings: Settings,
    classical_forces: Forces,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """written: files that are replaced before the kill."""
    folder = start_run(settings, forces=classical_forces()).folder
    count = 0

    def kill_later(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: object) -> None:
            nonlocal count
            if count == written:
                raise KeyboardInterrupt
            count += 1
            write(*arguments)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(changes, "write_file", kill_later(changes.write_file))
        patched.setattr(changes, "write_record", kill_later(changes.write_record))
        try:
            resume_run(folder, _stop_at(62), classical_forces(), request_)
        except KeyboardInterrupt:
            pass
    outcome = resume_run(folder, forces=classical_forces(), request=request_ if repeated else ResumeRequest())
    extended = repeated or written > 0
    assert (outcome.step, outcome.finished) == (80 if extended else 60, True)
    assert _list_changes(folder) == ([{"run.length_ps": "0.03 -> 0.04"}] if extended else [])
    assert resume_run(folder, forces=classical_forces()).finished, "settings and record agree"


def test_settings_edited_after_such_a_kill_are_refused_as_ever(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(changes, "write_file", lambda *_: _stop_at(0)(Progress("", 0, 0, 0, 0, 0, 0, 0)))
        resume_run(folder, forces=classical_forces(), request=UNTIL)
    path = folder / "settings.toml"
    path.write_text(path.read_text().replace("friction_per_ps = 1.0", "friction_per_ps = 2.0"))
    with pytest.raises(RunError, match="run.friction_per_ps: 1.0 -> 2.0"):
        resume_run(folder, forces=classical_forces())
