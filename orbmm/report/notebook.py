"""Show a run and its results in a notebook: figures with their numbers, and the structure in 3-D."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path

from orbmm.analysis.reading.run_folder import Recording, read_run_folder
from orbmm.analysis.result import Result
from orbmm.errors import AnalysisError
from orbmm.report.figures import draw_figure
from orbmm.report.page import write_views
from orbmm.report.view import build_views

_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 0; color: #222; background: #fff; } h2 { font-size: 1rem; margin: .2rem 0; }
canvas { width: 100%; max-width: 44rem; border: 1px solid #bbb; touch-action: pan-y pinch-zoom; }
.bar { display: inline-block; width: 5rem; height: .7rem; } [hidden] { display: none !important; }
"""
_HEIGHT = 620  # pixels of one view with its title and legend


@dataclass(frozen=True)
class Shown:
    """An output that a notebook draws. html: for the notebook; text: for a terminal."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def show_result(result: Result) -> Shown:
    """Return a Result for a notebook: its figure, and its numbers below. Raises AnalysisError if it has no figure."""
    buffer = BytesIO()
    draw_figure(result).savefig(buffer, format="svg", metadata={"Date": None})
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    image = f"<img alt='{escape(result.name, quote=True)}' src='data:image/svg+xml;base64,{picture}'>"
    return Shown(f"<div>{image}{result._repr_html_()}</div>", str(result))


def show_structure(run: Path | str | Recording, results: Mapping[str, Result] | None = None) -> Shown:
    """Return the structure at the start of a run for a notebook, to be rotated and zoomed; nothing is downloaded.

    run: a run folder, or a recording of `read_run_folder` or `read_plain_trajectory`
    results: colours by the results named "confidence" and "rmsf" if they are given, else by element
    Raises AnalysisError for a run that cannot be read, or that holds only water.
    """
    recording = run if isinstance(run, Recording) else read_run_folder(Path(run))
    views = build_views(recording.all_atoms, results or {})
    if not views:
        raise AnalysisError(f"{recording.frames.path}: there is only water, so there is no structure to show")
    page = f"<!DOCTYPE html><html><head><style>{_STYLE}</style></head><body>{write_views(views)}</body></html>"
    frame = (
        f"<iframe sandbox='allow-scripts' style='width: 100%; max-width: 46rem; height: {_HEIGHT * len(views)}px; "
        f"border: 0' srcdoc='{escape(page, quote=True)}'></iframe>"
    )
    return Shown(frame, f"<{', '.join(views)}: {recording.all_atoms.n_atoms} atoms, drawn in a notebook>")
