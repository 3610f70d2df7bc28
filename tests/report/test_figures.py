"""Figures show what the numbers say, with units, and leave matplotlib's settings alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from orbmm.analysis import Result
from orbmm.errors import AnalysisError
from orbmm.report import draw_figure, style, write_figures

OBSERVABLES = ("rmsd", "bonds", "temperature", "energy", "water_distribution")


def find_brightness(color: str) -> float:
    return float(np.dot(to_rgb(color), [0.299, 0.587, 0.114]))


@pytest.mark.parametrize("name", OBSERVABLES)
def test_every_axis_is_named_and_lengths_and_times_have_units(results: dict[str, Result], name: str) -> None:
    panels = draw_figure(results[name]).axes
    assert all(panel.get_ylabel() for panel in panels)
    bottom = [panel.get_xlabel() for panel in panels if panel.get_xlabel()]
    assert bottom == ["O–O distance / Å" if name == "water_distribution" else "time / ps"]


@pytest.mark.parametrize(
    ("name", "value"), [("rmsd", "backbone"), ("bonds", "largest_ratio"), ("temperature", "temperature")]
)
def test_the_line_is_the_series(results: dict[str, Result], name: str, value: str) -> None:
    lines = draw_figure(results[name]).axes[0].get_lines()
    drawn = [line.get_ydata() for line in lines if len(line.get_ydata()) == len(results[name].values[value])]
    assert any(np.array_equal(line, results[name].values[value]) for line in drawn)


def test_the_mean_temperature_is_written_with_its_error(results: dict[str, Result]) -> None:
    result = results["temperature"]
    texts = [text.get_text() for text in draw_figure(result).axes[0].get_legend().get_texts()]
    assert f"mean {result.number('mean'):.1f} ± {result.number('mean_error'):.1f} K" in texts
    assert "discarded" in texts


def test_nothing_is_shaded_when_nothing_is_discarded(results: dict[str, Result]) -> None:
    whole = results["temperature"].values | {"discarded": np.array(0.0)}
    legend = draw_figure(replace(results["temperature"], values=whole)).axes[0].get_legend()
    assert "discarded" not in [text.get_text() for text in legend.get_texts()]


def test_a_solute_without_backbone_is_drawn(results: dict[str, Result]) -> None:
    rmsd = results["rmsd"]
    values = {name: value for name, value in rmsd.values.items() if not name.startswith("backbone")}
    bare = replace(rmsd, values=values, units={name: rmsd.units[name] for name in values})
    assert len(draw_figure(bare).axes[0].get_lines()) == 1


def test_figures_are_written_and_not_empty(results: dict[str, Result], tmp_path: Path) -> None:
    paths = write_figures(results, tmp_path)
    assert sorted(path.stem for path in paths) == sorted(OBSERVABLES)
    for path in paths:
        picture = imread(path)
        assert picture.shape[1] == 1040 and picture[..., :3].std() > 0.05


def test_lines_differ_in_grey_print() -> None:
    assert abs(find_brightness(style.DARK["color"]) - find_brightness(style.LIGHT["color"])) > 0.25
    assert style.DARK["linestyle"] != style.LIGHT["linestyle"]


def test_drawing_leaves_the_settings_of_matplotlib_alone(results: dict[str, Result]) -> None:
    before = dict(matplotlib.rcParams)
    draw_figure(results["water_distribution"])
    assert dict(matplotlib.rcParams) == before


def test_pyplot_and_torch_are_not_loaded() -> None:
    script = "import sys, orbmm.report; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_unknown_result_has_no_figure(results: dict[str, Result]) -> None:
    with pytest.raises(AnalysisError, match="no figure for 'bond'; did you mean 'bonds'"):
        draw_figure(replace(results["bonds"], name="bond"))
