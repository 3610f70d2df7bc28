"""The page on analysis lists every observable by the name of its files and by its function."""

from __future__ import annotations

import re
from pathlib import Path

import orbmm.analysis
from orbmm.analysis.result import TITLES


def read_rows(page: str) -> dict[str, list[str]]:
    """Return the functions that the table of observables names, by result."""
    table = page.split("| result | function | what |\n", 1)[1].split("\n\n", 1)[0]
    rows = [row.strip("|").split("|") for row in table.splitlines()[1:]]
    names = [(re.findall(r"`(\w+)`", row[0]), re.findall(r"`(\w+)`", row[1])) for row in rows]
    return {result: functions for results, functions in names for result in results}


def test_every_observable_has_a_row_by_its_name_and_function(repository: Path) -> None:
    rows = read_rows((repository / "docs" / "analysis.md").read_text(encoding="utf-8"))
    assert set(rows) == set(TITLES)
    for result, functions in rows.items():
        assert f"compute_{result}" in functions
        assert all(hasattr(orbmm.analysis, function) for function in functions)


def test_another_name_than_that_of_the_result_is_noticed() -> None:
    page = "| result | function | what |\n|---|---|---|\n| `fluctuation` | `compute_rmsf` | RMSF |\n\n"
    assert read_rows(page) == {"fluctuation": ["compute_rmsf"]} and "fluctuation" not in TITLES
