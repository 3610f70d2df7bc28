"""What a notebook shows of a run: whole in itself, and the same as text in a terminal."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from report.test_page import BROWSER, open_in_browser

from orbmm.analysis import compute_rmsd, read_run_folder
from orbmm.errors import AnalysisError
from orbmm.report import show_result, show_structure


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return write_run_folder(folder, make_trajectory(Jiggle(frames=20), waters=30))


def test_a_result_is_its_figure_and_its_numbers(run: Path) -> None:
    recording = read_run_folder(run)
    rmsd = compute_rmsd(recording.frames, recording.start)
    shown = show_result(rmsd)
    assert shown._repr_html_().count("src='data:image/svg+xml;base64,") == 1
    assert rmsd._repr_html_() in shown._repr_html_()
    assert repr(shown) == str(rmsd)


def test_a_structure_is_a_page_within_the_page(run: Path) -> None:
    shown = show_structure(run)
    (page,) = re.findall(r" srcdoc='([^']*)'></iframe>$", shown._repr_html_())
    assert unescape(page).startswith("<!DOCTYPE html>") and unescape(page).count("<canvas") == 1
    assert re.search(r"https?://|@import|url\(", unescape(page)) is None
    assert repr(shown).startswith("<Structure at the start: ")


def test_the_folder_may_be_a_text_or_already_be_read(run: Path) -> None:
    assert show_structure(str(run)) == show_structure(read_run_folder(run)) == show_structure(run)


def test_water_alone_has_nothing_to_show(tmp_path: Path) -> None:
    frames = make_trajectory(Jiggle(frames=3), waters=30)
    water = frames.atom_slice(frames.topology.select("water"))
    with pytest.raises(AnalysisError, match="there is only water"):
        show_structure(write_run_folder(tmp_path / "run", water))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_draws_the_structure(run: Path, tmp_path: Path) -> None:
    (page,) = re.findall(r" srcdoc='([^']*)'></iframe>$", show_structure(run)._repr_html_())
    assert re.search(r'data-drawn="[1-9]', open_in_browser(unescape(page), tmp_path))
