"""The report page: whole in one file, true to the numbers, and without errors in a browser."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import pytest
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from analysis.zinc_site import make_site
from typer.testing import CliRunner

from orbmm.analysis import analyze_recording, read_plain_trajectory, read_run_folder
from orbmm.analysis.result import TITLES
from orbmm.cli.main import build_app
from orbmm.errors import AnalysisError
from orbmm.report import build_page, write_page
from orbmm.report.findings import explain_no_figure
from orbmm.report.view import build_views
from orbmm.run_files.diagnosis import Diagnosis, Diagnostic, format_diagnosis
from orbmm.run_files.layout import RunFolder

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Collects what a page loads, and its tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return write_run_folder(folder, make_trajectory(Jiggle(frames=20), waters=30))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    recording = read_run_folder(run)
    return build_page(recording, analyze_recording(recording), (run / "settings.toml").read_text())


@pytest.fixture(scope="module")
def site_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("site")
    make_site(3).save_xtc(str(folder / "site.xtc"))
    make_site().save_pdb(str(folder / "site.pdb"))
    recording = read_plain_trajectory(folder / "site.xtc", folder / "site.pdb")
    return build_page(recording, analyze_recording(recording))


def test_nothing_is_loaded_from_elsewhere(page: str, site_page: str) -> None:
    for text in (page, site_page):
        reader = Reader(text)
        assert reader.loads and all(source.startswith("data:image/svg+xml;base64,") for source in reader.loads)
        assert not {"link", "iframe", "object", "embed"} & set(reader.tags)
        assert re.search(r"fetch\(|XMLHttpRequest|import\(|@import|url\(", text) is None


def test_a_page_that_loads_something_would_be_seen() -> None:
    assert Reader("<img src='https://example.org/a.png'>").loads == ["https://example.org/a.png"]


def test_the_page_says_what_the_analysis_says(page: str, run: Path) -> None:
    analysis = analyze_recording(read_run_folder(run))
    assert analysis.verdict.line in page
    for check in analysis.verdict.checks:
        assert check.limit in page and check.says in page
    quiet = [result for result in analysis.results.values() if explain_no_figure(result)]
    assert page.count("<figure>") == len(analysis.results) - len(quiet) >= 12
    assert all(escape(explain_no_figure(result)) in page for result in quiet)
    headings = re.findall(r"<h3>(.*?)</h3>", page)
    assert sorted(headings) == sorted(TITLES[name] for name in analysis.results)
    assert "0" * 64 in page and "temperature_kelvin" in page  # weights' hash, settings
    for name, reason in analysis.missing.items():
        assert f"<td>{TITLES[name]}</td><td>{reason}</td>" in page


def test_a_result_without_a_figure_is_on_the_page_with_its_numbers(run: Path) -> None:
    recording = read_run_folder(run)
    analysis = analyze_recording(recording)
    own = replace(analysis.results["rmsd"], name="of_mine")
    shown = build_page(recording, replace(analysis, results={"of_mine": own}))
    assert "<h3>of mine</h3><p>numbers only</p>" in shown and "backbone, largest" in shown
    assert "<figure>" not in shown


def test_the_site_has_a_view_of_its_own(site_page: str) -> None:
    assert site_page.count("<canvas") == 2 and "Metal site at the start" in site_page
    assert "ligands of the metal: HIS2-ND1, HIS3-NE2, HIS4-ND1, HOH5-O" in site_page


def test_the_view_of_the_site_holds_its_ligands_and_their_bonds() -> None:
    view = build_views(make_site(), {})["Metal site at the start"]
    named = {view["names"][i] for i in view["named"]}
    assert named == {"ZN1-ZN", "HIS2-ND1", "HIS3-NE2", "HIS4-ND1", "HOH5-O"}
    zinc = view["names"].index("ZN1-ZN")
    assert sum(zinc in bond for bond in view["bonds"]) == 4
    assert [coloring["name"] for coloring in view["colorings"]] == ["element"]
    assert len(view["positions"]) == len(view["colorings"][0]["colors"]) == len(view["sizes"]) == len(view["names"])


def test_the_whole_is_coloured_by_confidence_first(run: Path, tmp_path: Path) -> None:
    moving = make_trajectory(Jiggle(frames=20), waters=30)
    folder = write_run_folder(tmp_path / "run", moving)
    results = analyze_recording(read_run_folder(write_confidence(folder, make_errors(20, moving.n_atoms)))).results
    view = build_views(moving[0], results)["Structure at the start"]
    assert [coloring["name"] for coloring in view["colorings"]] == ["confidence", "rmsf", "element"]
    colors = dict(zip(view["names"], view["colorings"][0]["colors"], strict=True))
    shown = [sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in colors.values()]
    assert min(shown) == shown[list(colors).index("ACE0-CH3")]  # the atom at the end of the scale is the darkest
    assert view["colorings"][0]["legend"] == "expected force error of the atom, 0 to 0.3 eV/Å"


def test_a_run_whose_frames_hold_some_atoms_shows_all_and_each_in_its_own_colour(tmp_path: Path) -> None:
    moving = make_trajectory(Jiggle(frames=20), waters=30)
    folder = write_confidence(write_run_folder(tmp_path / "run", moving), make_errors(20, moving.n_atoms))
    colors = read_colors(folder)
    kept = range(6, moving.n_atoms)  # all but the acetyl, whose first atom is the least known
    moving.atom_slice(kept).save(str(folder / "trajectory.xtc"))
    md.load(str(folder / "topology.pdb")).atom_slice(kept).save(str(folder / "trajectory.pdb"))
    assert "ACE0-CH3" in colors and read_colors(folder) == colors


@pytest.mark.parametrize(("molecules", "shown"), [(2, 18), (8, 0)], ids=["ligands", "a second solvent"])
def test_ligands_are_in_the_picture_and_a_second_solvent_is_not(molecules: int, shown: int) -> None:
    peptide = make_trajectory(Jiggle(frames=1)).atom_slice(range(22))
    rings = md.Topology()
    for _ in range(molecules):
        residue = rings.add_residue("LIG", rings.add_chain())
        carbons = [rings.add_atom(f"C{number}", md.element.carbon, residue) for number in range(9)]
        for pair in itertools.pairwise(carbons):
            rings.add_bond(*pair)
    xyz = np.concatenate([peptide.xyz[0], np.arange(27.0 * molecules).reshape(-1, 3) / 20.0])
    (view,) = build_views(md.Trajectory(xyz, peptide.topology.join(rings)), {}).values()
    assert sum("LIG" in name for name in view["names"]) == shown


def test_frames_without_the_water_are_noted(tmp_path: Path) -> None:
    moving = make_trajectory(Jiggle(frames=2), waters=30)
    folder = write_run_folder(tmp_path / "run", moving)
    assert not read_run_folder(folder).notes
    moving.atom_slice(range(22)).save(str(folder / "trajectory.xtc"))
    md.load(str(folder / "topology.pdb")).atom_slice(range(22)).save(str(folder / "trajectory.pdb"))
    (note,) = read_run_folder(folder).notes
    assert "the frames hold 22 of the 112 atoms that were simulated" in note


def read_colors(folder: Path) -> dict[str, str]:
    """What the viewer of a page gives to each atom by confidence."""
    recording = read_run_folder(folder)
    (view,) = read_views(build_page(recording, analyze_recording(recording)))
    assert view["colorings"][0]["name"] == "confidence"
    return dict(zip(view["names"], view["colorings"][0]["colors"], strict=True))


def read_views(page: str) -> list[dict[str, Any]]:
    """What the page gives to its viewer."""
    return [json.loads(data) for data in re.findall(r"class='molecule'>(.*?)</script>", page)]


def test_mere_water_has_no_view() -> None:
    assert build_views(make_trajectory(Jiggle(frames=1)).atom_slice(range(22, 202)), {}) == {}


def test_names_from_files_are_escaped(run: Path) -> None:
    recording = read_run_folder(run)
    recording.record["model"] = "<script>alert(1)</script>"
    text = build_page(recording, analyze_recording(recording))
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text


def test_the_command_writes_the_page_and_its_verdict(run: Path) -> None:
    answer = CliRunner().invoke(build_app(), ["report", str(run)])
    assert answer.exit_code == 0, answer.output
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert answer.stdout.splitlines()[-1].startswith("stable: ")


@pytest.mark.parametrize(
    ("arguments", "words"), [((), "give either a run folder"), (("nowhere",), "no such run folder")]
)
def test_bad_input_of_the_report_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    answer = CliRunner().invoke(build_app(), ["report", *arguments])
    assert answer.exit_code == 2 and words in answer.stderr and answer.stderr.count("\n") == 1


def test_a_page_that_cannot_be_written_is_one_sentence(run: Path, tmp_path: Path) -> None:
    recording = read_run_folder(run)
    with pytest.raises(AnalysisError, match="the report cannot be written"):
        write_page(recording, analyze_recording(recording), tmp_path / "nowhere" / "report.html")


def open_in_browser(text: str, folder: Path) -> str:
    """The page as the browser has it after its scripts have run."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", (folder / "page.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def lift_policy(page: str) -> str:
    """The page without the tag that keeps other scripts than its own from running."""
    lifted = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert lifted != page
    return lifted


MARK = "document.documentElement.dataset.ran = 1"
NAMES = [
    "<!--<script>",
    f"</script><script>{MARK}</script>",
    f"'><img src=x onerror='{MARK}'>",
    "-->",
    "]]>",
    "\u2028",
    "\x1b[2J",
    "$x",
    "水",
]


@pytest.fixture(scope="module")
def hostile_page(run: Path) -> str:
    """A page about a run in which every name is meant to break out of its place."""
    recording = read_run_folder(run)
    for number, residue in enumerate(recording.all_atoms.topology.residues):
        if not residue.is_water:
            residue.name = NAMES[number % len(NAMES)]
    for number, name in enumerate(NAMES):
        recording.record[name] = {f"{number} {name}": name + "\ud800"}
    settings = f"# {''.join(NAMES)}\n# \u202e next line\n"
    return build_page(recording, analyze_recording(recording), settings)


def test_no_name_leaves_its_place_in_the_page(hostile_page: str, page: str) -> None:
    assert Reader(hostile_page).tags.count("script") == Reader(page).tags.count("script") == 3
    assert MARK not in "".join(re.findall(r"<script>(.*?)</script>", hostile_page, re.DOTALL))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u2028\u202e\ud800]", hostile_page)
    assert "<td>水\\ud800</td>" in hostile_page, "and names of all languages are as they were"
    assert hostile_page.count("\\u202e next line\n") == 1
    atoms = "".join(read_views(hostile_page)[0]["names"])
    assert "<!--<script>" in atoms and MARK in atoms


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_draws_the_views_without_errors(page: str, site_page: str, tmp_path: Path) -> None:
    for number, (text, views) in enumerate(((page, 1), (site_page, 2))):
        folder = tmp_path / str(number)
        folder.mkdir()
        opened = open_in_browser(text, folder)
        drawn = [int(count) for count in re.findall(r'data-drawn="(\d+)"', opened)]
        assert len(drawn) == views and min(drawn) > 5
        assert "data-error" not in opened
        assert re.findall(r'data-coloring="(\w+)"', opened) == ["rmsf", "element"][:views]
        assert opened.count("<option") >= 2 * views


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_would_report_a_script_that_fails(page: str, tmp_path: Path) -> None:
    opened = open_in_browser(lift_policy(page).replace("showMolecule(parts", "showNothing(parts"), tmp_path)
    assert "data-error" in opened and "data-drawn" not in opened


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_choosing_a_colour_and_zooming_redraws(page: str, tmp_path: Path) -> None:
    acts = (
        "const choice = document.getElementById('choice0'), view = document.getElementById('view0');"
        "const before = view.toDataURL(); choice.value = '1'; choice.dispatchEvent(new Event('change'));"
        "const recoloured = view.toDataURL(); view.dispatchEvent(new KeyboardEvent('keydown', { key: '+' }));"
        "view.dataset.redrawn = [before !== recoloured, recoloured !== view.toDataURL()].join();"
    )
    opened = open_in_browser(lift_policy(page).replace("</body>", f"<script>{acts}</script></body>"), tmp_path)
    assert 'data-redrawn="true,true"' in opened and 'data-coloring="element"' in opened
    assert "data-error" not in opened


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_whole_page_whatever_residues_are_called(hostile_page: str, tmp_path: Path) -> None:
    opened = open_in_browser(hostile_page, tmp_path)
    assert len(re.findall(r'data-drawn="\d+"', opened)) == 1
    assert "data-ran" not in opened and "data-error" not in opened
    body = re.sub(r"<script.*?</script>", "", opened, flags=re.DOTALL)
    assert "<h2>Structure</h2>" in body and "<h2>What was run</h2>" in body


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("intruder", [f"<script>{MARK}</script>", f"<img src='data:,' onerror='{MARK}'>"])
def test_a_browser_runs_no_script_but_the_page_s_own(intruder: str, page: str, tmp_path: Path) -> None:
    spoiled = page.replace("</h1>", f"</h1>{intruder}", 1)
    opened = open_in_browser(spoiled, tmp_path)
    assert "data-ran" not in opened and 'data-drawn="' in opened
    assert "data-ran" in open_in_browser(lift_policy(spoiled), tmp_path)


def test_notes_stand_below_the_verdict_as_text(run: Path) -> None:
    recording = read_run_folder(run)
    analysis = analyze_recording(recording)
    noted = build_page(recording, replace(analysis, notes=("1 bond <b>left</b> out of [LIG] $x$",)))
    assert "<p class='note'>Note: 1 bond &lt;b&gt;left&lt;/b&gt; out of [LIG] $x$.</p>" in noted
    assert noted.index("class='verdict") < noted.index("Note: 1 bond") < noted.index("<h2>Structure</h2>")
    assert "Note: " not in build_page(recording, analysis)


def test_a_page_shows_a_diagnosis_of_the_network_if_there_is_one(run: Path, page: str) -> None:
    recording = read_run_folder(run)
    failing = Diagnostic("work round <loops>", 1.6, "meV", 0.2, "no energy has these")
    diagnosis = Diagnosis(
        "a model", "direct", "0" * 64, "float64", "box", 3, (failing,), {"drift": "no steps"}, ("Do",)
    )
    shown = build_page(recording, analyze_recording(recording), "", diagnosis)
    for words in ("work round &lt;loops&gt;", "a model fails 1 of 1 checks on box", "no energy has these", "no steps"):
        assert words in shown
    assert "How far the model can be trusted" in shown
    assert "How far the model can be trusted" not in page


def test_the_command_finds_the_diagnosis_of_a_run(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    kept = RunFolder(copied).diagnosis
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(format_diagnosis(Diagnosis("a model", "direct", "0" * 64, "float64", "box", 3, ())))
    CliRunner().invoke(build_app(), ["report", str(copied)])
    assert "a model passes all 0 checks on box" in (copied / "report.html").read_text()
    kept.write_text("{}")
    result = CliRunner().invoke(build_app(), ["report", str(copied)])
    assert result.exit_code == 2
    assert "cannot be read as a diagnosis" in result.stderr
