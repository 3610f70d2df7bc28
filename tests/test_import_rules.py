"""Rooms import only from the rooms below them; the rules stand in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import lint_imports

REVERSED = """
[tool.importlinter]
root_package = "orbmm"

[[tool.importlinter.contracts]]
name = "The house upside down"
type = "layers"
layers = ["orbmm.graph", "orbmm.model", "orbmm.forces"]
"""


def test_rooms_import_only_from_below(repository: Path) -> None:
    assert lint_imports(str(repository / "pyproject.toml"), no_cache=True) == 0


def test_a_broken_rule_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(REVERSED)
    assert lint_imports(str(tmp_path / "pyproject.toml"), no_cache=True) == 1
