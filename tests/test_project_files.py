"""The files about the project speak of what is there: paths, test names, versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import orbmm

PATH = re.compile(r"`((?:orbmm|tests|docs|scripts|\.ci)(?:/[\w.*]+)+/?)")


def list_absent(text: str, repository: Path) -> list[str]:
    """The paths in a text that match no file."""
    return [path for path in PATH.findall(text) if not list(repository.glob(path.rstrip("/")))]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md"])
def test_every_path_that_is_named_exists(name: str, repository: Path) -> None:
    assert list_absent((repository / name).read_text(encoding="utf-8"), repository) == []


def test_an_absent_path_would_be_seen(repository: Path) -> None:
    text = "`orbmm/files.py`, `orbmm/no_such_file.py`, `tests/graph/`, `orbmm/report/*_figure.py:12`"
    assert list_absent(text, repository) == ["orbmm/no_such_file.py", "orbmm/report/*_figure.py"]


def test_every_test_that_contributors_are_told_of_exists(repository: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    tests = "".join(path.read_text(encoding="utf-8") for path in (repository / "tests").rglob("test_*.py"))
    assert len(named) >= 2 and [name for name in named if f"def {name}(" not in tests] == []


def test_the_citation_and_the_changelog_are_of_this_version(repository: Path) -> None:
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == orbmm.__version__
    assert f"## {orbmm.__version__}" in (repository / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_marker_is_explained_to_contributors(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    markers = [line.split(":")[0] for line in settings["tool"]["pytest"]["ini_options"]["markers"]]
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [marker for marker in markers if f"`{marker}`" not in text] == []
