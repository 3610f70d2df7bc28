"""The page in a window of 375 pixels, and how it answers to wheels and swipes."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from report.test_page import BROWSER, lift_policy, open_in_browser

from orbmm.analysis import analyze_recording, read_run_folder
from orbmm.report import build_page, show_structure

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
WIDTH = 375
LEAST_LETTERS = 11  # pixels
MEASURE = """
document.querySelectorAll('details').forEach((part) => { part.open = true; });
const view = document.getElementById('view0'), found = { wide: document.documentElement.scrollWidth };
const cells = [...document.querySelectorAll('.checks td')];
found.cells = Math.max(...cells.map((cell) => cell.getBoundingClientRect().right));
const worded = [...document.querySelectorAll('body *')].filter((part) => {
  return part.tagName !== 'SCRIPT' && [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
});
found.letters = Math.min(...worded.map((part) => parseFloat(getComputedStyle(part).fontSize)));
found.labels = parseFloat(view.getContext('2d').font) * view.clientWidth / view.width;
found.touch = getComputedStyle(view).touchAction;
function turn(kind, options) {
  const before = view.toDataURL(), event = new kind('wheel', { deltaY: -300, cancelable: true, ...options });
  view.dispatchEvent(event);
  return [event.defaultPrevented, before !== view.toDataURL()];
}
found.wheel = turn(WheelEvent, {});
found.held = turn(WheelEvent, { ctrlKey: true });
function press(act) {
  const before = view.toDataURL();
  act();
  return before !== view.toDataURL();
}
found.button = press(() => document.getElementById('nearer0').click());
const point = (kind, x) => new PointerEvent(kind, { clientX: x, clientY: 9, isPrimary: true, pointerId: 1 });
found.drag = press(() => {
  try { view.dispatchEvent(point('pointerdown', 10)); } catch (error) { found.captured = String(error); }
  view.dispatchEvent(point('pointermove', 90));
});
view.dispatchEvent(point('pointercancel', 90));
found.after = press(() => view.dispatchEvent(point('pointermove', 10)));
document.documentElement.dataset.found = JSON.stringify(found);
parent.postMessage(JSON.stringify(found), '*');
"""
LISTEN = "addEventListener('message', (event) => { document.documentElement.dataset.found = event.data; });"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    moving = make_trajectory(Jiggle(frames=12), waters=30)
    folder = write_run_folder(tmp_path_factory.mktemp("runs") / "run", moving)
    write_confidence(folder, make_errors(12, moving.n_atoms))
    recording = read_run_folder(folder)
    return build_page(recording, analyze_recording(recording), (folder / "settings.toml").read_text())


def measure(page: str, folder: Path) -> dict[str, Any]:
    """What a browser finds on the page in a frame of the width of a phone."""
    inner = lift_policy(page).replace("</body>", f"<script>{MEASURE}</script></body>")
    frame = f"<iframe style='width: {WIDTH}px; height: 800px; border: 0' srcdoc='{escape(inner)}'></iframe>"
    opened = open_in_browser(f"<!DOCTYPE html><html><body><script>{LISTEN}</script>{frame}</body></html>", folder)
    (found,) = re.findall(r'<html data-found="(.*?)"', opened)
    return json.loads(found.replace("&quot;", '"'))


@pytest.fixture(scope="module")
def found(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measure(page, tmp_path_factory.mktemp("phone"))


def test_nothing_is_wider_than_the_phone(found: dict[str, Any]) -> None:
    assert found["wide"] <= WIDTH and 0 < found["cells"] <= WIDTH


def test_all_letters_can_be_read(found: dict[str, Any]) -> None:
    assert found["letters"] >= LEAST_LETTERS and found["labels"] >= LEAST_LETTERS


def test_a_wheel_scrolls_the_page_and_zooms_only_with_ctrl(found: dict[str, Any]) -> None:
    assert found["wheel"] == [False, False] and found["held"] == [True, True]


def test_a_swipe_scrolls_and_a_drag_turns(found: dict[str, Any]) -> None:
    assert found["touch"] == "pan-y pinch-zoom"
    assert found["button"] and found["drag"] and not found["after"]


def test_a_page_too_wide_with_small_letters_that_takes_the_wheel_is_seen(page: str, tmp_path: Path) -> None:
    spoiled = page.replace("max-width: 40rem", "max-width: 1rem").replace("font-size: .85rem", "font-size: 6px")
    spoiled = spoiled.replace("!event.ctrlKey && !event.metaKey", "false").replace("touch-action: pan-y pinch-zoom", "")
    found = measure(spoiled.replace("overflow-wrap: break-word", "white-space: nowrap"), tmp_path)
    assert found["wide"] > WIDTH and found["cells"] > WIDTH and found["letters"] == 6
    assert found["wheel"] == [True, True] and found["touch"] == "auto"


def test_the_viewer_of_a_notebook_leaves_swipes_to_the_notebook(tmp_path: Path) -> None:
    shown = show_structure(write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=3), waters=5)))
    assert "touch-action: pan-y pinch-zoom" in shown._repr_html_() and "touch-action: none" not in shown._repr_html_()
