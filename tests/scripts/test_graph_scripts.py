"""Search methods and skins are timed row by row, what did not run is named, the picture shows what the JSON holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from orbmm.graph.search.choose import METHODS
from orbmm.report.style import LINES

BUILT_IN = ("brute_force", "kd_tree", "cell_list")


def shows(picture: Path, color: str) -> bool:
    """Whether a PNG file has pixels of a colour."""
    pixels = imread(picture)[..., :3]  # (height, width, 3)
    return bool((abs(pixels - to_rgb(color)) < 0.01).all(axis=-1).any())


def test_every_method_is_timed_on_every_box(run_script: Callable) -> None:
    found = run_script("scripts/benchmarks/searches.py", "--atoms", 30, 60, "--repeats", 1)
    assert [(row["atoms"], row["method"]) for row in found.rows] == [
        (n, method) for n in (30, 60) for method in METHODS
    ]
    for atoms, edges in ((30, 600), (60, 1_200)):
        ran = [row for row in found.rows if row["atoms"] == atoms and "skipped" not in row]
        assert {row["method"] for row in ran} >= set(BUILT_IN)
        assert len({row["edges"] for row in ran}) == 1 and ran[0]["edges"] > edges
        assert all(0.0 < row["graph_ms"] < 60_000.0 for row in ran)
    assert all(row["skipped"] for row in found.rows if "graph_ms" not in row)
    assert "| 30 |" in found.printed and "| 60 |" in found.printed


def test_a_method_that_was_too_slow_is_not_tried_on_more_atoms(
    load_script: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = load_script("scripts/benchmarks/searches.py")
    monkeypatch.setattr(searches, "measure", lambda method, *_: {"graph_ms": 9e3 if method == "kd_tree" else 1.0})
    rows = list(searches.measure_all("cpu", [30, 60], 1))
    assert [row for row in rows if "skipped" in row] == [
        {"method": "kd_tree", "atoms": 60, "skipped": "took 9.0 s for 30 atoms"}
    ]
    assert [searches.format_rows(part) for part in (rows[:4], rows[4:])] == [
        "| 30 | 1.0 | 9,000 | 1.0 | 1.0 |",
        "| 60 | 1.0 | - | 1.0 | 1.0 |",
    ]


def test_the_wider_the_skin_the_fewer_the_searches(run_script: Callable) -> None:
    found = run_script("scripts/benchmarks/skin.py", "--model", "orb-mini-direct-inf-xtb", "--steps", 10)
    assert (found.report["atoms"], found.report["steps"]) == (256, 10)
    skins, searches = zip(*((row["skin_angstrom"], row["searches"]) for row in found.rows), strict=True)
    assert skins == (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
    assert searches[0] == 10 and searches[-1] == 1 and list(searches) == sorted(searches, reverse=True)
    assert searches[1] > 1, "atoms move more than 0.1 Å in 5 fs"
    network = found.report["network_ms"]
    assert network > 0.0
    for row in found.rows:
        assert 0.0 < row["share"] < 1.0
        assert row["share"] == pytest.approx(row["graph_ms"] / (row["graph_ms"] + network))
    assert found.printed.count("\n| ") == 1 + len(found.rows)


def test_the_graph_figure_has_its_numbers_beside_it(run_script: Callable, tmp_path: Path) -> None:
    found = run_script(
        "scripts/benchmarks/paper_graphs.py", "--atoms", 30, 60, "--repeats", 1, report="first/graphs.json"
    )
    assert found.report["command"].startswith("python scripts/benchmarks/searches.py")
    ran = {row["method"] for row in found.rows if "skipped" not in row}
    assert ran >= set(BUILT_IN)
    for number, style in enumerate(LINES):
        assert shows(found.path.with_suffix(".png"), style["color"]) == (
            number < len(ran) or style["color"] == "#000000"
        )
    assert ElementTree.parse(found.path.with_suffix(".svg")).getroot().tag.endswith("svg")
    again = run_script("scripts/benchmarks/paper_graphs.py", "--measured", found.path, report="second/graphs.json")
    for name in ("rows", "command", "date", "processor"):
        assert again.report[name] == found.report[name]
    assert again.report["drawn_by"] != found.report["drawn_by"]
    assert again.path.with_suffix(".png").read_bytes() == found.path.with_suffix(".png").read_bytes()
    less = json.loads(found.path.read_text())
    less["rows"] = [row for row in less["rows"] if row["method"] != "cell_list"]
    (tmp_path / "less.json").write_text(json.dumps(less))
    other = run_script(
        "scripts/benchmarks/paper_graphs.py", "--measured", tmp_path / "less.json", report="third/graphs.json"
    )
    assert other.path.with_suffix(".png").read_bytes() != found.path.with_suffix(".png").read_bytes()


def test_a_head_that_leaves_something_out_would_be_seen(find_missing: Callable) -> None:
    assert find_missing({"date": "", "machine": "x86_64, one thread", "rows": []}) >= {
        "command",
        "versions",
        "processor",
    }
