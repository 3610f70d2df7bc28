"""A benchmark replaces an earlier one, and no file of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orbmm.benchmark.report import write_report
from orbmm.cli.main import build_app
from orbmm.errors import OutputError
from orbmm.outputs import RECORD_NAME

ROW = {"case": "water", "atoms": 96, "model": "m", "precision": "float64", "evaluation_s": 0.1}
ABOUT = {"command": "orbmm benchmark", "processor": "one"}


@pytest.mark.parametrize("name", ["benchmark.json", "benchmark.png", "runner.json"])
def test_a_file_of_the_user_is_found_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    options = ["--runner", "5"] if name == "runner.json" else []
    answer = CliRunner().invoke(build_app(), ["benchmark", *options, "--output", str(tmp_path)])
    assert answer.exit_code == 2 and f"{name} was not written by orbmm" in answer.stderr, answer.output
    assert answer.stdout == "" and answer.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"mine"}


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    answer = CliRunner().invoke(build_app(), ["benchmark", "--output", str(tmp_path / "file")])
    assert answer.exit_code == 2 and "the benchmark cannot be written there" in answer.stderr and answer.stdout == ""
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("record", [True, False], ids=["", "of a version without a record"])
def test_an_earlier_benchmark_is_replaced(record: bool, tmp_path: Path) -> None:
    write_report([ROW], ABOUT, tmp_path)
    if not record:
        (tmp_path / RECORD_NAME).unlink()
    numbers, picture = write_report([{**ROW, "evaluation_s": 0.2}], ABOUT, tmp_path)
    assert '"evaluation_s": 0.2' in numbers.read_text()
    picture.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"benchmark\.png was not written by orbmm"):
        write_report([ROW], ABOUT, tmp_path)
    assert picture.read_bytes() == b"mine" and '"evaluation_s": 0.2' in numbers.read_text()
