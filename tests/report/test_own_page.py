"""The report replaces an earlier report and no other file; a full disk leaves the former one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from file_size import limit_file_size
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app

OWN = b"<!DOCTYPE html>\n<html><head><title>mine</title></head></html>\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with its report."""
    folder = write_run_folder(tmp_path_factory.mktemp("runs") / "run", make_trajectory(Jiggle(frames=4), waters=5))
    assert report(folder).exit_code == 0
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def report(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["report", *map(str, arguments)])


def expect_refusal(answer: Result, words: str) -> None:
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.count("\n") == 1 and words in answer.stderr, answer.stderr
    assert "name another --output" in answer.stderr


def test_the_same_report_has_the_same_bytes_in_another_process(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    command = [sys.executable, "-c", "from orbmm.cli.main import main; main()", "report", run]
    subprocess.run(command, check=True, capture_output=True)
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize("name", ["trajectory.xtc", "topology.pdb", "settings.toml", "own.html", "own.txt", "empty"])
def test_no_other_file_is_replaced(name: str, run: Path) -> None:
    (run / "own.html").write_bytes(OWN)
    (run / "own.txt").write_bytes(b"<meta name='generator' content='orbmm, sha256 " + b"0" * 64 + b"'>")
    (run / "empty").touch()
    content = (run / name).read_bytes()
    expect_refusal(report(run, "--output", run / name), f"{name} is no report of orbmm")
    assert (run / name).read_bytes() == content


def test_a_report_that_the_user_changed_stays(run: Path) -> None:
    page = (run / "report.html").read_bytes().replace(b"</body>", b"<p>my remark</p></body>")
    (run / "report.html").write_bytes(page)
    expect_refusal(report(run), "is no report of orbmm, or was changed since")
    assert (run / "report.html").read_bytes() == page


def test_a_report_of_an_older_version_is_replaced(run: Path) -> None:
    """It had no line about its generator and none about scripts; one that was torn counts too."""
    page = (run / "report.html").read_bytes()
    unsigned = re.sub(rb"<meta (name='generator'|http-equiv)[^>]*>", b"", page)
    assert unsigned != page
    for older in (unsigned, unsigned[:2000]):
        (run / "report.html").write_bytes(older)
        assert report(run).exit_code == 0
        assert (run / "report.html").read_bytes() == page


def test_a_link_and_a_folder_are_refused(run: Path) -> None:
    (run / "link.html").symlink_to("report.html")
    before = (run / "report.html").read_bytes()
    expect_refusal(report(run, "--output", run / "link.html"), "link.html is a link")
    expect_refusal(report(run, "--output", run), "run is a folder")
    assert (run / "link.html").is_symlink() and (run / "report.html").read_bytes() == before


@pytest.mark.parametrize("path", ["nowhere/report.html", "run.json/report.html", "/proc/report.html"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(
    path: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orbmm.analysis.analyze_recording", None)  # not reached
    answer = report(run, "--output", run / path)
    assert answer.exit_code == 2 and "the report cannot be written" in answer.stderr and answer.stderr.count("\n") == 1


def test_a_full_disk_leaves_the_former_report(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    with limit_file_size(20_000):
        answer = report(run, "--discard-ps", 0.01)
    assert answer.exit_code == 2 and "the report cannot be written" in answer.stderr and answer.stderr.count("\n") == 1
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".*.partial"))
    assert report(run, "--discard-ps", 0.01).exit_code == 0
    assert b"leave out the first 0.01 ps" in (run / "report.html").read_bytes()
