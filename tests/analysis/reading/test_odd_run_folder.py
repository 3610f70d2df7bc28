"""A run folder whose small files hold what orbmm never writes is refused in one sentence; none is waited for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.synthetic import make_box
from typer.testing import Result

from orbmm.analysis.reading.run_folder import read_structure
from orbmm.errors import AnalysisError
from orbmm.run_files.confidence import read_confidence
from orbmm.run_files.layout import RunFolder

Analyze = Callable[..., Result]

HEADERS = {
    "endless atoms": '{"atoms": Infinity, "bin_edges_ev_per_angstrom": [0, 1]}',
    "more atoms than a record can have": '{"atoms": 3000000000, "bin_edges_ev_per_angstrom": [0, 1]}',
    "a huge edge": '{"atoms": 3, "bin_edges_ev_per_angstrom": [0, 1' + "0" * 400 + "]}",
    "an infinite edge": '{"atoms": 3, "bin_edges_ev_per_angstrom": [0, 1e999]}',
    "one edge": '{"atoms": 3, "bin_edges_ev_per_angstrom": 5}',
    "nested": "[" * 50_000,
    "long": "[" + " " * 1_000_000 + "]",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_an_odd_header_of_the_confidence_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "confidence.json").write_text(text)
    (tmp_path / "confidence.dat").write_bytes(bytes(100))
    for growing in (False, True):
        with pytest.raises(AnalysisError, match="confidence.json"):
            read_confidence(tmp_path, growing)


RECORDS = {
    "nested": "[" * 50_000,
    "rather nested": '{"a": ' * 300 + "1" + "}" * 300,
    "not a number": '{"a": NaN}',
    "infinite": '{"a": 1e999}',
    "long": "[" + " " * 10_000_000 + "]",
}


@pytest.mark.parametrize("text", RECORDS.values(), ids=RECORDS.keys())
def test_an_odd_record_is_one_sentence(text: str, run_folder: Path, analyze: Analyze) -> None:
    (run_folder / "run.json").write_text(text)
    result = analyze(run_folder)
    assert result.exit_code == 2
    assert "run.json: cannot be read as the record of a run" in result.stderr


def test_text_that_is_no_utf8_comes_through_the_record_into_the_results(run_folder: Path, analyze: Analyze) -> None:
    record = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps(record | {"note": "\ud800"}))
    assert analyze(run_folder).exit_code in (0, 3)
    results = json.loads((run_folder / "analysis" / "results.json").read_text(encoding="utf-8"))
    assert results["run"]["note"] == "\ud800"


def _put_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, _put_link], ids=["folder", "pipe", "endless"])
def test_a_reason_that_is_no_file_is_one_sentence(put: Callable[[Path], object], tmp_path: Path) -> None:
    reason = tmp_path / "rescue" / "step-40" / "reason.txt"
    reason.parent.mkdir(parents=True)
    put(reason)
    with pytest.raises(AnalysisError, match="reason.txt: cannot be read"):
        RunFolder(tmp_path).read_reason()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # mdtraj leaves the file open
@pytest.mark.parametrize(("suffix", "end"), [(".pdb", 13), (".cif", 30)])
def test_a_structure_with_a_torn_line_is_one_sentence(suffix: str, end: int, tmp_path: Path) -> None:
    path = tmp_path / f"start{suffix}"
    make_box(5).save(str(path))
    lines = [
        line
        for line in path.read_text().splitlines()
        if line.startswith(("CRYST1", "ATOM", "HETATM", "_", "loop_", "data_"))
    ]
    path.write_text("\n".join([*lines[:-1], lines[-1][:end], ""]))
    with pytest.raises(AnalysisError, match=f"start{suffix}: cannot be read as a structure"):
        read_structure(path)
