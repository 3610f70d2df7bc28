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
from matplotlib.text import Text

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
from orbmm.analysis.result import TITLES, NothingToMeasure
from orbmm.errors import AnalysisError
from orbmm.report import draw_figure, style, write_figures
from orbmm.report.figures import DRAWINGS
from orbmm.report.findings import explain_no_figure
from orbmm.report.run import find_expected_range

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
        assert picture.shape[1] == 1050 and picture[..., :3].std() > 0.05


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


def test_every_observable_has_a_figure_a_heading_and_a_public_function(tmp_path: Path) -> None:
    planned = plan_all(tmp_path / "run")
    assert planned == set(DRAWINGS) == set(TITLES)
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


PIXELS_ON_A_PHONE = 375 - 2 * 0.9 * 16  # that a page leaves to a figure
POINT = 96 / 72  # pixels


def find_smallest_letters(figure: Figure) -> float:
    """The size of the smallest words of a figure on a page of a phone [px]."""
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    scale = min(1.0, PIXELS_ON_A_PHONE / (figure.get_size_inches()[0] * 96))
    return min(text.get_fontsize() for text in texts) * POINT * scale


@pytest.mark.parametrize("name", OBSERVABLES)
def test_letters_of_a_figure_can_be_read_on_a_phone(results: dict[str, Result], name: str) -> None:
    figure = draw_figure(results[name])
    figure.draw_without_rendering()
    assert find_smallest_letters(figure) > 9.5
    assert not [text for text in figure.findobj(Text) if "^" in text.get_text() or "nan" in text.get_text()]


def test_letters_that_are_too_small_on_a_phone_are_seen() -> None:
    figure = Figure(figsize=(5.2, 3.0))
    figure.text(0.5, 0.5, "words", fontsize=8.0)
    assert find_smallest_letters(figure) < 7.6


@pytest.mark.parametrize("name", OBSERVABLES)
def test_no_word_leaves_its_figure(results: dict[str, Result], name: str) -> None:
    figure = draw_figure(results[name])
    figure.draw_without_rendering()
    inside = figure.bbox.expanded(1.01, 1.01)
    for panel in figure.axes:
        for text in (panel.xaxis.label, panel.yaxis.label, *panel.texts):
            box = text.get_window_extent()
            assert inside.x0 <= box.x0 and box.x1 <= inside.x1, text.get_text()
            assert inside.y0 <= box.y0 and box.y1 <= inside.y1, text.get_text()


def test_the_confidence_ends_where_the_run_ends(confident: Result) -> None:
    panels = [panel for panel in draw_figure(confident).axes if panel.get_ylabel() and panel.get_xlim()[1] < 1.0]
    time = confident.values["time"]
    assert len(panels) >= 3 and find_smallest_letters(panels[0].figure) > 9.5
    assert {panel.get_xlim() for panel in panels[:3]} == {(time[0], time[-1])}


def test_a_single_record_of_confidence_is_drawn(confident: Result) -> None:
    axes = {name: value[:1] for name, value in confident.columns.items()}
    maps = {name: confident.values[name][:1] for name in ("stretch_start", "bin_shares", "residue_map")}
    panels = draw_figure(replace(confident, values={**confident.values, **axes, **maps})).axes
    assert panels[2].get_xlim()[0] < confident.values["time"][0] < panels[2].get_xlim()[1]


def test_no_temperature_of_an_element_is_drawn_below_zero() -> None:
    """Two nitrogens of one snapshot vary by 58 %, and yet a temperature is positive; chances of 10,000 drawn ones."""
    atoms = np.array([6, 168, 2, 80])
    values = {
        "element": np.array(["C", "H", "N", "O"]), "atoms": atoms, "temperature": np.array([195.0, 285.0, 30.0, 277.0]),
        "kelvin": np.array(279.0), "snapshots": np.array(1.0),
    }  # fmt: skip
    result = Result("equipartition", "By hand.", "element", values, dict.fromkeys(values, ""), 1)
    low, high = find_expected_range(result)
    kinetic = np.random.default_rng(0).chisquare(3.0 * atoms, (10_000, 4))  # of each element
    share = kinetic / kinetic.sum(axis=1, keepdims=True)
    drawn = 279.0 * share * atoms.sum() / atoms
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.15866, 0.84134], axis=0), rtol=0.03)
    (panel,) = draw_figure(result).axes
    assert panel.get_ylim()[0] == 0.0 and min(bar.get_y() for bar in panel.patches) > 0.0


def test_the_label_of_the_peak_is_above_the_curve(results: dict[str, Result]) -> None:
    for name in ("rdf_oo", "rdf_oh"):
        figure = draw_figure(results[name])
        figure.draw_without_rendering()
        panel = figure.axes[0]
        (label,) = panel.texts
        box = label.get_window_extent().transformed(panel.transData.inverted())
        radius, ratio = results[name].values["radius"], results[name].values["ratio"]
        assert ratio[(radius > box.x0) & (radius < box.x1)].max() <= box.y0
        assert box.y1 <= panel.get_ylim()[1]


def test_broken_bonds_have_a_panel_where_one_breaks(results: dict[str, Result]) -> None:
    bonds = results["bonds"]
    assert len(draw_figure(bonds).axes) == 1 + bool(bonds.values["broken"].any())
    broken = {**bonds.values, "broken": np.ones_like(bonds.values["broken"])}
    whole = {**bonds.values, "broken": np.zeros_like(bonds.values["broken"])}
    assert len(draw_figure(replace(bonds, values=broken)).axes) == 2
    assert len(draw_figure(replace(bonds, values=whole)).axes) == 1


def test_what_does_not_change_is_said_instead_of_drawn(results: dict[str, Result]) -> None:
    quiet = {name for name, result in results.items() if explain_no_figure(result)}
    assert quiet == {"protonation", "bond_events", "density"}
    assert explain_no_figure(results["bond_events"]) == "no bond formed or broke"
    events = {**results["bond_events"].values, "formed": np.ones_like(results["bond_events"].values["formed"])}
    assert explain_no_figure(replace(results["bond_events"], values=events)) is None
    once = {name: value[:1] for name, value in results["rmsd"].columns.items()}
    assert explain_no_figure(replace(results["rmsd"], values={**results["rmsd"].values, **once}))


def test_a_result_without_a_figure_ends_no_analysis(results: dict[str, Result], tmp_path: Path) -> None:
    both = {"own": replace(results["rmsd"], name="own"), "rmsd": results["rmsd"]}
    assert [path.name for path in write_figures(both, tmp_path)] == ["rmsd.png"]


def test_an_unknown_error_is_in_no_figure(results: dict[str, Result]) -> None:
    for name in ("temperature", "energy", "diffusion"):
        values = {
            key: np.array(np.nan) if key.endswith("_error") else value for key, value in results[name].values.items()
        }
        texts = draw_figure(replace(results[name], values=values)).findobj(Text)
        assert not [text for text in texts if "nan" in text.get_text()]


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
