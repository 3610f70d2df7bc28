"""Figures show what the numbers say, with units, and leave matplotlib's settings alone."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.dom.minidom import parse

import matplotlib
import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import make_box
from analysis.zinc_site import make_site
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from orbmm.analysis import (
    Result,
    compute_native_contacts,
    compute_secondary_structure,
    count_hydrogen_bonds,
    find_bond_events,
    follow_carbon_dioxide,
    follow_protons,
    measure_metal_site,
)
from orbmm.analysis.result import NothingToMeasure
from orbmm.errors import AnalysisError
from orbmm.report import draw_figure, style, write_figures
from orbmm.report.figures import DRAWINGS

BOTTOM = {
    "water_distribution": "O–O distance / Å",
    "oxygen_hydrogen": "O···H distance between waters / Å",
    "diffusion": "lag / ps",
    "fluctuation": "residue",
    "ramachandran": "$\\phi$ / degrees",
}
OBSERVABLES = (
    "rmsd", "bonds", "angles", "temperature", "energy", "gyration", "fluctuation", "ramachandran", "protonation", "bond_events",
    "water_distribution", "oxygen_hydrogen", "hydrogen_bonds", "density", "diffusion",
)  # fmt: skip
NARROW = {"ramachandran": 940}


def find_brightness(color: str) -> float:
    return float(np.dot(to_rgb(color), [0.299, 0.587, 0.114]))


@pytest.mark.parametrize("name", OBSERVABLES)
def test_every_axis_is_named_and_lengths_and_times_have_units(results: dict[str, Result], name: str) -> None:
    panels = draw_figure(results[name]).axes
    assert all(panel.get_ylabel() for panel in panels)
    bottom = [panel.get_xlabel() for panel in panels if panel.get_xlabel()]
    assert bottom == [BOTTOM.get(name, "time / ps")]


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
        assert picture.shape[1] == NARROW.get(path.stem, 1040) and picture[..., :3].std() > 0.05


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


def test_every_observable_has_a_figure(repository: Path) -> None:
    source = (repository / "orbmm" / "analysis" / "plan.py").read_text(encoding="utf-8")
    planned = set(re.findall(r'"(\w+)"(?::|\] =) partial', source))
    assert len(planned) == 23 and planned == set(DRAWINGS)


def draw_all(trajectory: md.Trajectory) -> dict[str, Figure]:
    measures = (measure_metal_site, follow_carbon_dioxide, follow_protons, find_bond_events, compute_secondary_structure,
                compute_native_contacts)  # fmt: skip
    return {
        measure.__name__: draw_figure(measure(trajectory)) for measure in measures if _has_part(measure, trajectory)
    }


def _has_part(measure, trajectory: md.Trajectory) -> bool:
    try:
        return bool(measure(trajectory).frames)
    except NothingToMeasure:
        return False


@pytest.mark.parametrize("frames", [1, 20])
def test_sites_and_folds_are_drawn_with_units(frames: int) -> None:
    site, helix = draw_all(make_site(frames)), draw_all(grow_backbone(-57.0, -47.0))
    assert set(site) == {"measure_metal_site", "follow_carbon_dioxide", "follow_protons", "find_bond_events"}
    assert {"compute_secondary_structure", "compute_native_contacts"} <= set(helix)
    for figure in [*site.values(), *helix.values()]:
        assert all(panel.get_ylabel() for panel in figure.axes) and figure.axes[-1].get_xlabel() == "time / ps"
    lines = site["measure_metal_site"].axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["HIS2-ND1", "HIS3-NE2", "HIS4-ND1", "HOH5-O"]
    assert lines[0].get_ydata()[0] == pytest.approx(2.0, abs=1e-4)


@pytest.mark.filterwarnings("error")
def test_a_dry_solute_without_hydrogen_bonds_is_drawn_without_a_warning() -> None:
    dry = make_box(0).make_molecules_whole()
    dry.unitcell_vectors = None
    dry.xyz *= 3.0  # every donor far from every acceptor
    result = count_hydrogen_bonds(dry)
    assert not any(result.values[name].any() for name in ("water_water", "solute_water", "solute_solute"))
    (panel,) = draw_figure(result).axes
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts == ["among waters, mean 0", "solute and water, mean 0", "in the solute, mean 0"]


def test_figures_that_cannot_be_written_are_one_sentence(results: dict[str, Result], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(AnalysisError, match="the figures cannot be written"):
        write_figures(results, tmp_path / "file", ("svg",))


def test_all_lines_of_a_figure_have_dashes_of_their_own() -> None:
    assert len({str(look["linestyle"]) for look in style.LINES}) == len(style.LINES)


def test_a_ligand_may_be_called_anything() -> None:
    times = np.arange(3.0)
    name = "distance_$\\foo{\x1b<!--Å"
    values = {
        "time": times,
        "coordination": times,
        "coordination_mean": np.array(1.0),
        name: times,
        f"{name}_mean": np.array(1.0),
    }
    result = Result("metal_site", "by hand.", "time", values, dict.fromkeys(values, "ps"), 3)
    picture = BytesIO()
    draw_figure(result).savefig(picture, format="svg")
    parse(BytesIO(picture.getvalue()))
