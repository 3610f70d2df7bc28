"""The tables of time steps in docs/validation.md are those that the script prints from what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.parametrize("name", ["steps", "multiple-steps"])
def test_the_tables_on_the_page_are_the_measured_ones(
    name: str, repository: Path, load_script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("scripts/embedded/measure_steps.py")
    script.print_tables(repository / "docs" / "embedded" / f"{name}.json")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) > 10
    assert [row for row in rows if row not in page] == []


def test_the_temperatures_of_the_elements_on_the_page_are_the_measured_ones(
    repository: Path, load_script: Callable[[str], ModuleType]
) -> None:
    script = load_script("scripts/embedded/measure_bath.py")
    kept = json.loads((repository / "docs" / "embedded" / "multiple-steps-bath.json").read_text())
    page = (repository / "docs" / "validation.md").read_text(encoding="utf-8")
    rows = script.format_rows(kept)
    assert len(rows) == 4 and [row for row in rows if row not in page.splitlines()] == []
    assert kept["long_enough"] or f"{kept['measured_ps']:.1f} of the 10 ps" in page
