"""Rooms import only from the rooms below them; the rules stand in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REVERSED = """
[tool.importlinter]
root_package = "orbmm"

[[tool.importlinter.contracts]]
name = "The house upside down"
type = "layers"
layers = ["orbmm.graph", "orbmm.model", "orbmm.forces"]
"""


def lint(settings: Path) -> int:
    """Exit code of import-linter, in a process of its own: it switches off the loggers of the one that it runs in."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    finished = subprocess.run(
        [*command, "--config", settings, "--no-cache"], check=False, capture_output=True, cwd=settings.parent
    )
    return finished.returncode


def test_rooms_import_only_from_below(repository: Path) -> None:
    assert lint(repository / "pyproject.toml") == 0


def test_a_broken_rule_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(REVERSED)
    assert lint(tmp_path / "pyproject.toml") == 1
