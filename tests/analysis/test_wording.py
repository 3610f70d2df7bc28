"""What an analysis says of itself: reasons without stutter, units as people write them, no number that is none."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_energies, write_run_folder

import orbmm.analysis
from orbmm.analysis import Analysis, analyze_recording, read_run_folder
from orbmm.analysis.observables import FROM_A_RUN, NEED_TIMES
from orbmm.analysis.result import TITLES, find_title

ROOM = Path(orbmm.analysis.__file__).parent
STUTTER = re.compile(r"^no [\w -]+: ")


def list_reasons() -> Iterator[str]:
    """Every sentence that a NothingToMeasure is raised with in the source, without what is filled in."""
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NothingToMeasure":
                parts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                yield "".join(part for part in parts if isinstance(part, str))


def analyze_start(folder: Path, frames: int) -> Analysis:
    """The analysis of a run that has written a few frames and rows."""
    whole = make_trajectory(Jiggle(frames=3))
    run = write_run_folder(folder, whole)
    whole[:frames].save(str(run / "trajectory.xtc"))
    write_energies(run / "energies.csv", whole[:frames])
    return analyze_recording(read_run_folder(run))


def test_no_reason_repeats_the_name_that_stands_before_it() -> None:
    reasons = list(list_reasons())
    assert len(reasons) > 20
    assert [reason for reason in reasons if STUTTER.match(reason)] == []


def test_a_reason_that_stutters_is_seen() -> None:
    assert STUTTER.match("no secondary structure: 1 amino acids; it takes at least 4")


def test_every_observable_has_a_heading_that_is_no_variable_name() -> None:
    assert set(FROM_A_RUN) | set(NEED_TIMES) <= set(TITLES)
    assert not [title for title in TITLES.values() if "_" in title or title[0] != title[0].upper()]
    assert len(set(TITLES.values())) == len(TITLES)
    assert find_title("of_a_user") == "of a user"


def test_no_method_says_angstrom() -> None:
    texts = {}
    for module in pkgutil.walk_packages([str(ROOM)], "orbmm.analysis."):
        names = vars(importlib.import_module(module.name))
        texts |= {f"{module.name}.{name}": value for name, value in names.items() if isinstance(value, str)}
    methods = {name: text for name, text in texts.items() if not name.rpartition(".")[2].startswith("__")}
    assert sum("Å" in text for text in methods.values()) >= 5
    assert [name for name, text in methods.items() if "angstrom" in text.lower()] == []


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_run_too_short_for_a_statistic_is_analysed_and_says_no_nan(frames: int, tmp_path: Path) -> None:
    analysis = analyze_start(tmp_path / "run", frames)
    said = [analysis.verdict.line, *(check.limit for check in analysis.verdict.checks), *analysis.missing.values()]
    said += [row.text for result in analysis.results.values() for row in result.rows()]
    assert [text for text in said if re.search(r"\bnan\b", text)] == []
    assert analysis.verdict.stable
    one_row = {name for name, reason in analysis.missing.items() if "energies.csv has 1 row" in reason}
    assert one_row == ({"temperature", "energy"} if frames == 1 else set())
