"""Figures show what the numbers say, with units, and leave matplotlib's settings alone."""

from __future__ import annotations

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
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import Jiggle, make_box, make_trajectory, write_run_folder
from analysis.zinc_site import make_site
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

import orbmm.analysis
from orbmm.analysis import (
    Result,
    compute_bond_events,
    compute_carbon_dioxide,
    compute_hydrogen_bonds,
    compute_metal_site,
    compute_native_contacts,
    compute_protonation,
    compute_secondary_structure,
    read_run_folder,
)
from orbmm.analysis.observables import plan_measures
from orbmm.analysis.result import NothingToMeasure
from orbmm.errors import AnalysisError
from orbmm.report import draw_figure, style, write_figures
from orbmm.report.figures import DRAWINGS

BOTTOM = {
    "rdf_oo": "O–O distance / Å",
    "rdf_oh": "O···H distance between waters / Å",
    "diffusion": "lag / ps",
    "rmsf": "residue",
    "ramachandran": "$\\phi$ / degrees",
}
OBSERVABLES = (
    "rmsd", "bonds", "angles", "temperature", "energy", "radius_of_gyration", "rmsf", "ramachandran", "protonation",
    "bond_events", "rdf_oo", "rdf_oh", "hydrogen_bonds", "density", "diffusion",
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
    draw_figure(results["rdf_oo"])
    assert dict(matplotlib.rcParams) == before


def test_pyplot_and_torch_are_not_loaded() -> None:
    script = "import sys, orbmm.report; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_unknown_result_has_no_figure(results: dict[str, Result]) -> None:
    with pytest.raises(AnalysisError, match="no figure for 'bond'; did you mean 'bonds'"):
        draw_figure(replace(results["bonds"], name="bond"))


def plan_all(folder: Path) -> set[str]:
    """The names of all observables, as of a run that wrote everything, compared with a crystal structure."""
    moving = make_trajectory(Jiggle(frames=2))
    run = write_confidence(write_run_folder(folder, moving), make_errors(2, moving.n_atoms))
    moving[0].save_pdb(str(folder / "crystal.pdb"), bfactors=np.full(moving.n_atoms, 15.0))
    return set(plan_measures(read_run_folder(run), 0.0, folder / "crystal.pdb"))


def test_every_observable_has_a_figure_and_a_public_function(tmp_path: Path) -> None:
    planned = plan_all(tmp_path / "run")
    assert planned == set(DRAWINGS)
    assert {f"compute_{name}" for name in planned} <= set(orbmm.analysis.__all__)


def test_an_observable_without_a_figure_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DRAWINGS, "rdf_oo")
    assert plan_all(tmp_path / "run") - set(DRAWINGS) == {"rdf_oo"}


def draw_all(trajectory: md.Trajectory) -> dict[str, Figure]:
    measures = (
        compute_metal_site,
        compute_carbon_dioxide,
        compute_protonation,
        compute_bond_events,
        compute_secondary_structure,
        compute_native_contacts,
    )
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
    assert set(site) == {"compute_metal_site", "compute_carbon_dioxide", "compute_protonation", "compute_bond_events"}
    assert {"compute_secondary_structure", "compute_native_contacts"} <= set(helix)
    for figure in [*site.values(), *helix.values()]:
        assert all(panel.get_ylabel() for panel in figure.axes) and figure.axes[-1].get_xlabel() == "time / ps"
    lines = site["compute_metal_site"].axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["HIS2-ND1", "HIS3-NE2", "HIS4-ND1", "HOH5-O"]
    assert lines[0].get_ydata()[0] == pytest.approx(2.0, abs=1e-4)


@pytest.mark.filterwarnings("error")
def test_a_dry_solute_without_hydrogen_bonds_is_drawn_without_a_warning() -> None:
    dry = make_box(0).make_molecules_whole()
    dry.unitcell_vectors = None
    dry.xyz *= 3.0  # every donor far from every acceptor
    result = compute_hydrogen_bonds(dry)
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
