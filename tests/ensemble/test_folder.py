"""The folder of an ensemble has one coordinator, and holds runs with the settings that were planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.ensemble.folder import claim_ensemble
from orbmm.ensemble.layout import read_members
from orbmm.ensemble.plan import plan_ensemble
from orbmm.ensemble.task import choose_command
from orbmm.errors import RunError
from orbmm.settings import EnsembleSettings, read_settings

from .conftest import STEPS, SYSTEM

Make = Callable[..., EnsembleSettings]


def _claim(settings: EnsembleSettings) -> None:
    with claim_ensemble(plan_ensemble(settings)):
        pass


def test_two_coordinators_on_one_folder_are_refused(make_settings: Make) -> None:
    plan = plan_ensemble(make_settings())
    with claim_ensemble(plan), pytest.raises(RunError, match="is being written by process"), claim_ensemble(plan):
        pytest.fail("two coordinators hold one folder")
    with claim_ensemble(plan):
        pass


def test_each_replica_has_complete_settings(make_settings: Make) -> None:
    with claim_ensemble(plan_ensemble(make_settings("[sweep]\nrun.temperature_kelvin = [320]"))) as folder:
        written = read_settings(folder.replica("temperature_kelvin-320_seed-1").settings)
    assert (written.run.temperature_kelvin, written.run.seed) == (320.0, 1)


def test_more_replicas_may_join_and_none_may_be_left_out(make_settings: Make) -> None:
    _claim(make_settings("replicas = 2"))
    with claim_ensemble(plan_ensemble(make_settings("replicas = 3"))) as folder:
        assert folder.replica("seed-3").settings.is_file()
    with pytest.raises(RunError, match="has 1 replicas that the settings no longer name, such as seed-3"):
        _claim(make_settings("replicas = 2"))


def test_a_run_that_has_begun_keeps_its_settings_and_may_become_longer(
    make_settings: Make, leave_run: Callable[..., None]
) -> None:
    with claim_ensemble(plan_ensemble(make_settings())) as folder:
        leave_run(folder.replica("seed-1"), 5)
    changed = SYSTEM + "temperature_kelvin = 310.0\n"
    expected = r"seed-1 has begun with run\.temperature_kelvin 300\.0, but the settings now have 310\.0"
    with pytest.raises(RunError, match=expected):
        _claim(make_settings("", changed))
    longer = SYSTEM.replace(f"length_ps = {STEPS * 0.0005}", "length_ps = 0.07")
    with claim_ensemble(plan_ensemble(make_settings("", longer))) as folder:
        command = choose_command(folder.replica("seed-1"))
    assert command[3] == "resume" and command[-2:] == ["--until", "0.07ps"]
    with pytest.raises(RunError, match=r"length_ps 0\.07, but the settings now have 0\.045"):
        _claim(make_settings())


@pytest.mark.parametrize("key", ["system.structure", "model.weights"])
def test_an_input_file_that_has_changed_is_refused_once_a_run_has_begun(
    key: str, make_settings: Make, leave_run: Callable[..., None], tmp_path: Path
) -> None:
    changed = tmp_path / {"system.structure": "waters.pdb", "model.weights": "mine.ckpt"}[key]
    (tmp_path / "waters.pdb").write_text("one")
    (tmp_path / "mine.ckpt").write_text("one")
    text = SYSTEM.replace("[model]", '[model]\nweights = "mine.ckpt"')
    _claim(make_settings("replicas = 2", text))
    changed.write_text("two")
    with claim_ensemble(plan_ensemble(make_settings("replicas = 2", text))) as folder:  # no run has begun
        leave_run(folder.replica("seed-1"), 5)
    assert set(read_members(folder)[0].inputs) == {"system.structure", "model.weights"}
    changed.touch()
    _claim(make_settings("replicas = 2", text))
    changed.write_text("three")
    with pytest.raises(RunError, match=rf"seed-1 has begun with another content of the file of {key} \(sha256"):
        _claim(make_settings("replicas = 2", text))
    changed.unlink()
    _claim(make_settings("replicas = 2", text))  # a run that has begun has a copy, or says what it lacks


def test_a_folder_with_other_files_is_refused(make_settings: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"is not empty and no ensemble: it holds thesis\.tex"):
        _claim(make_settings())


def test_a_damaged_plan_is_written_again_after_it_was_removed(
    make_settings: Make, tmp_path: Path, leave_run: Callable[..., None]
) -> None:
    """That is what the sentence says."""
    with claim_ensemble(plan_ensemble(make_settings())) as folder:
        leave_run(folder.replica("seed-1"), 5)
    (folder.path / "report.html").touch()
    folder.plan.write_text("{")
    with pytest.raises(RunError, match=r"plan\.json is damaged .*; remove it and give `orbmm ensemble` its settings"):
        _claim(make_settings())
    folder.plan.unlink()
    _claim(make_settings())
    assert [one.name for one in read_members(folder)] == ["seed-1"]
    (tmp_path / "out").rename(tmp_path / "whole")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").touch()  # of anything else
    with pytest.raises(RunError, match=r"is not empty and no ensemble: it holds report\.html"):
        _claim(make_settings())


def test_a_folder_that_cannot_be_written_is_refused(
    make_settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match=r"cannot be written \(File exists\); choose another `output`"):
        _claim(make_settings())
    (tmp_path / "out").unlink()

    def refuse(path: Path, *rest: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RunError, match=r"out/run\.lock cannot be written \(Read-only file system\)") as refusal:
        _claim(make_settings())
    assert refusal.value.exit_code == 2
