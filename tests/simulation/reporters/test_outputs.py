"""Every file that grows during a run is declared once and whole: its key, its format, what counts its entries."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orbmm.run_files.layout import RunFolder
from orbmm.settings import RunSettings, Settings, SystemSettings
from orbmm.settings.field import list_marked
from orbmm.simulation.reporters.files import OUTPUTS, Output


def list_faults(output: Output) -> list[str]:
    """Return what a declaration lacks."""
    faults = []
    for mark in ("interval", "fixed"):
        if output.every not in list_marked(RunSettings, mark):
            faults.append(f"{output.every} of [run] is not marked as {mark}")
    if len(set(output.names)) != len(output.names):
        faults.append("a name twice")
    return faults


def test_every_output_is_declared_whole() -> None:
    assert {output.names: list_faults(output) for output in OUTPUTS if list_faults(output)} == {}


def test_every_interval_but_that_of_checkpoints_belongs_to_an_output() -> None:
    assert set(list_marked(RunSettings, "interval")) - {output.every for output in OUTPUTS} == {"checkpoint_every_ps"}


@pytest.mark.parametrize("key", ["length_ps", "checkpoint_every_ps", "no_such_key"])
def test_an_output_with_another_key_is_noticed(key: str) -> None:
    assert list_faults(dataclasses.replace(OUTPUTS[0], every=key)) != []


def test_the_paths_that_readers_use_are_those_that_are_declared(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for file_format in ("xtc", "dcd"):
        settings = Settings(SystemSettings(name="water"), run=RunSettings(trajectory=file_format))
        declared = {tmp_path / output.find_name(settings) for output in OUTPUTS}
        assert {folder.trajectory(file_format), folder.table, folder.confidence, folder.equilibration_table} <= declared
