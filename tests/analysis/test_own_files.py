"""An analysis replaces an earlier one and nothing of the user's; a kill or a full disk leaves whole files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from analysis.test_result import make_result
from file_size import limit_file_size
from typer.testing import CliRunner, Result

from orbmm.analysis import read_result
from orbmm.cli.main import build_app
from orbmm.errors import OutputError
from orbmm.files import is_partial
from orbmm.outputs import RECORD_NAME

Analyze = Callable[..., Result]
OWN = b"mine\n"


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that wrote its confidence, analysed."""
    folder = write_run_folder(tmp_path_factory.mktemp("runs") / "run", make_trajectory(Jiggle(frames=4), waters=5))
    write_confidence(folder, make_errors(4, 22 + 3 * 5))
    assert CliRunner().invoke(build_app(), ["analyze", str(folder)]).exit_code == 0
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def expect_refusal(answer: Result, words: str) -> None:
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.count("\n") == 1 and words in answer.stderr, answer.stderr
    assert "name another --output" in answer.stderr


def test_the_same_analysis_writes_the_same_bytes(run: Path, analyze_and_draw: Analyze) -> None:
    once = read_all(run / "analysis")
    assert {"confidence.pdb", "rmsd.svg", "rmsd.png", "rmsd.npz", "results.json"} <= set(once)
    assert analyze_and_draw(run).exit_code == 0
    assert read_all(run / "analysis") == once


def test_an_analysis_of_a_version_without_a_record_is_replaced(run: Path, analyze_and_draw: Analyze) -> None:
    (run / "analysis" / RECORD_NAME).unlink()
    assert analyze_and_draw(run, "--discard-ps", 0.01).exit_code == 0
    assert json.loads((run / "analysis" / "results.json").read_text())["discard_ps"] == 0.01
    assert (run / "analysis" / RECORD_NAME).is_file()


@pytest.mark.parametrize("name", ["results.json", "rmsd.csv", "rmsd.npz", "bonds.png", "bonds.svg", "confidence.pdb"])
def test_files_of_the_user_stay_and_are_found_before_the_work(name: str, run: Path, analyze_and_draw: Analyze) -> None:
    shutil.rmtree(run / "analysis")
    (run / "analysis").mkdir()
    (run / "analysis" / name).write_bytes(OWN)
    expect_refusal(analyze_and_draw(run), f"{run / 'analysis' / name} was not written by orbmm")
    assert read_all(run / "analysis") == {name: OWN}


def test_a_table_that_the_user_changed_stays(run: Path, analyze_and_draw: Analyze) -> None:
    with (run / "analysis" / "rmsd.csv").open("ab") as stream:
        stream.write(OWN)
    before = read_all(run / "analysis")
    expect_refusal(
        analyze_and_draw(run, "--discard-ps", 0.01), "rmsd.csv was not written by orbmm, or was changed since"
    )
    assert read_all(run / "analysis") == before
    assert analyze_and_draw(run, "--output", run / "other").exit_code == 0


def test_other_files_of_the_user_are_in_nobodys_way(run: Path, analyze_and_draw: Analyze) -> None:
    shutil.rmtree(run / "analysis")
    (run / "analysis").mkdir()
    (run / "analysis" / "notes.csv").write_bytes(OWN)
    (run / "analysis" / "metal.png").write_bytes(OWN)
    assert analyze_and_draw(run).exit_code == 0
    assert (run / "analysis" / "notes.csv").read_bytes() == (run / "analysis" / "metal.png").read_bytes() == OWN


def test_the_files_of_a_run_stay_where_the_analysis_goes_beside_them(run: Path, analyze_and_draw: Analyze) -> None:
    (run / "rmsd.csv").write_bytes(b"step,time_ps,rmsd_nm\n")  # as [run] show_rmsd writes it
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    expect_refusal(analyze_and_draw(run, "--output", run), "rmsd.csv was not written by orbmm")
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_structure_of_an_earlier_analysis_is_not_replaced_while_it_is_read(
    run: Path, analyze_and_draw: Analyze
) -> None:
    before = read_all(run / "analysis")
    (run.parent / "also").symlink_to("run")
    topology = run.parent / "also" / "analysis" / "confidence.pdb"
    expect_refusal(analyze_and_draw(run, "--crystal", topology), "confidence.pdb is read by this command")
    assert read_all(run / "analysis") == before
    assert analyze_and_draw(run, "--crystal", topology, "--output", run / "other").exit_code == 0


def test_a_folder_of_results_may_be_reached_through_a_link(
    run: Path, analyze_and_draw: Analyze, tmp_path: Path
) -> None:
    (tmp_path / "large-disk").mkdir()
    shutil.rmtree(run / "analysis")
    (run / "analysis").symlink_to(tmp_path / "large-disk")
    assert analyze_and_draw(run).exit_code == 0 and analyze_and_draw(run).exit_code == 0
    assert (tmp_path / "large-disk" / "results.json").is_file() and (run / "analysis").is_symlink()


def test_a_full_disk_leaves_the_former_results(run: Path, analyze_and_draw: Analyze) -> None:
    before = read_all(run / "analysis")
    with limit_file_size(20_000):  # less than some of the figures
        answer = analyze_and_draw(run, "--discard-ps", 0.01)
    assert answer.exit_code == 2 and "cannot be written there" in answer.stderr and answer.stderr.count("\n") == 1
    left = read_all(run / "analysis")
    assert left["results.json"] == before["results.json"] and left["energy.csv"] == before["energy.csv"]
    assert left.keys() == before.keys() and not [name for name in left if is_partial(name)]
    assert analyze_and_draw(run).exit_code == 0
    assert read_all(run / "analysis") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from orbmm.cli.main import main
replace, calls = Path.replace, []
def replace_or_die(self, target):
    calls.append(target)
    if len(calls) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replace_or_die
sys.argv = ["orbmm", "analyze", sys.argv[1], "--discard-ps", "0.01"]
main()
"""


def test_a_kill_while_figures_are_written_tears_none_and_the_command_can_be_repeated(
    run: Path, analyze_and_draw: Analyze
) -> None:
    before = read_all(run / "analysis")
    process = subprocess.run([sys.executable, "-c", KILLED, run], capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    for path in (run / "analysis").glob("[!.]*.svg"):
        assert path.read_bytes().rstrip().endswith(b"</svg>")
    assert (run / "analysis" / "results.json").read_bytes() == before["results.json"]
    assert analyze_and_draw(run).exit_code == 0
    after = {name: content for name, content in read_all(run / "analysis").items() if not is_partial(name)}
    assert after == before


def test_a_result_does_not_replace_files_of_others(tmp_path: Path) -> None:
    make_result().write(tmp_path)
    make_result().write(tmp_path)
    os.replace(tmp_path / "heights.npz", tmp_path / "moved.npz")
    (tmp_path / "heights.npz").write_bytes(OWN)
    with pytest.raises(OutputError, match=r"heights\.npz was not written by orbmm"):
        make_result().write(tmp_path)
    assert (tmp_path / "heights.npz").read_bytes() == OWN and read_result(tmp_path / "moved.npz").frames == 3
