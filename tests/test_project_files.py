"""The files about the project speak of what is there: paths, test names, versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def test_the_citation_and_the_changelog_are_of_one_version(repository: Path) -> None:
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)[1]
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == newest


def ask_version(folder: Path) -> str:
    """The version that a build of this folder would have."""
    command = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True).stdout.strip()


@pytest.mark.parametrize(("tag", "right"), [("v0.3.0", r"0\.3\.0"), (None, r"0\.1(\.0)?\.dev1")])
def test_a_tag_is_the_version_of_a_build(tag: str | None, right: str, tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("hatch_vcs", reason="reads the version from tags")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], *([["tag", tag]] if tag else [])):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    assert re.fullmatch(right, ask_version(tmp_path))


def test_every_marker_is_explained_to_contributors(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    markers = [line.split(":")[0] for line in settings["tool"]["pytest"]["ini_options"]["markers"]]
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [marker for marker in markers if f"`{marker}`" not in text] == []
