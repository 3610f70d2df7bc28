"""The kit for a machine with a GPU keeps what is done, names what is not, and ends in one table."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

KIT = Path("scripts") / "benchmarks" / "gpu_kit.sh"


@pytest.fixture
def results(tmp_path: Path, repository: Path) -> Path:
    """The folder of a machine on which one piece was measured and another took too long."""
    shutil.copy(repository / "scripts" / "benchmarks" / "results" / "searches.json", tmp_path)
    numbers = json.loads((tmp_path / "searches.json").read_text()) | {"gpu": "a card"}
    (tmp_path / "searches.json").write_text(json.dumps(numbers))
    (tmp_path / "searches.done").write_text("0\n")
    (tmp_path / "large.done").write_text("124\n")
    return tmp_path


def call(repository: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the kit with the Python of the tests, on a CPU; what steers these tests does not steer its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORBMM_EXPECT", "PYTEST"))}
    environment = kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "ORBMM_KIT_DEVICE": "cpu"}
    command = ["bash", repository / KIT, *words]
    return subprocess.run(command, text=True, capture_output=True, check=False, env=environment)


def test_every_piece_that_is_listed_is_a_command(repository: Path) -> None:
    listed = call(repository, "list").stdout.split()
    commands = re.findall(r"^    (\w+)\) ", (repository / KIT).read_text(), re.MULTILINE)
    assert len(listed) == 10 and sorted(listed) == sorted(commands)


def test_what_is_done_is_not_done_again(results: Path, repository: Path) -> None:
    assert call(repository, "run", results, "searches").stdout == "searches: done before\n"


def test_an_unknown_piece_is_named(results: Path, repository: Path) -> None:
    answer = call(repository, "run", results, "serches")
    assert (answer.returncode, answer.stderr) == (2, "no piece 'serches': see gpu_kit.sh list\n")


def test_the_table_names_card_and_unfinished_pieces(results: Path, repository: Path) -> None:
    table = call(repository, "table", results).stdout
    rows = json.loads((results / "searches.json").read_text())["rows"]
    assert table.startswith("a card; torch ") and table.count("| searches | ") == len(rows)
    assert table.endswith("large: exit code 124, see large.log\n")


def test_an_empty_folder_has_no_table(tmp_path: Path, repository: Path) -> None:
    answer = call(repository, "table", tmp_path)
    assert answer.returncode == 1 and "holds no numbers" in answer.stderr


def test_a_piece_runs_and_leaves_its_code_and_its_log(tmp_path: Path, repository: Path) -> None:
    answer = call(repository, "run", tmp_path, "contract")
    assert re.match(r"contract: exit code 0, .* skipped", answer.stdout), answer.stdout
    assert (tmp_path / "contract.done").read_text() == "0\n" and (tmp_path / "contract.log").stat().st_size > 0


def test_the_wheels_hold_the_plugins_that_the_settings_of_pytest_speak_of(repository: Path) -> None:
    """With --strict-config an option of an absent plugin ends the tests before the first."""
    options = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    wheels = re.search(r"^WHEELS=\((.*?)\)$", (repository / KIT).read_text(), re.DOTALL | re.MULTILINE)
    assert wheels is not None and ("timeout" in options) <= ("pytest_timeout" in wheels[1].split())
