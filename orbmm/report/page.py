"""One HTML page about a run that opens without a network: verdict, settings, figures, tables and a 3-D view."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from orbmm.analysis.analyze import Analysis
from orbmm.analysis.result import Result
from orbmm.analysis.run_folder import Recording
from orbmm.analysis.verdict import Outcome
from orbmm.errors import AnalysisError
from orbmm.report.figures import draw_figure
from orbmm.report.findings import list_findings
from orbmm.report.view import View, build_views

_STYLE = """
body { font: 16px/1.45 sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.number { text-align: right; } figure { margin: .5rem 0; } img { max-width: 100%; }
canvas { width: 100%; max-width: 44rem; border: 1px solid #bbb; touch-action: none; }
.verdict { font-size: 1.15rem; font-weight: bold; padding: .6rem .9rem; border-left: .5rem solid; background: #f4f4f4; }
.passed { border-color: #0072B2; } .failed { border-color: #D55E00; } .caution { border-color: #E69F00; }
.bar { display: inline-block; width: 5rem; height: .7rem; }
[hidden] { display: none !important; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 0 2rem; }
.scroll { overflow-x: auto; } .record td { overflow-wrap: anywhere; }
figcaption, .note { font-size: .85rem; color: #555; } pre { font-size: .8rem; overflow-x: auto; }
"""
_ERRORS = "window.onerror = (message) => { document.documentElement.dataset.error = message; };"


def write_page(recording: Recording, analysis: Analysis, path: Path, settings_text: str = "") -> None:
    """Write the report as one file. Raises AnalysisError when it cannot be written."""
    try:
        path.write_text(build_page(recording, analysis, settings_text), encoding="utf-8")
    except OSError as error:
        raise AnalysisError(f"{path}: the report cannot be written ({error}); give --output") from error


def build_page(recording: Recording, analysis: Analysis, settings_text: str = "") -> str:
    """The whole page; figures and the viewer are inside, nothing is loaded from elsewhere.

    settings_text: settings.toml as it was resolved, empty when unknown.
    """
    name = recording.settings.system.name if recording.settings else recording.frames.path.name
    parts = [
        f"<h1>{escape(name)}</h1>",
        _write_verdict(analysis),
        _write_findings(analysis),
        write_views(build_views(recording.all_atoms, analysis.results)),
        "<h2>Observables</h2><div class='grid'>",
        *(_write_result(result) for result in analysis.results.values()),
        "</div>",
        _write_missing(analysis.missing),
        _write_record(recording, settings_text),
    ]
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'><title>{escape(name)}</title><style>{_STYLE}</style><script>{_ERRORS}</script>"
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"


def _write_verdict(analysis: Analysis) -> str:
    cautious = any(check.outcome is Outcome.CAUTION for check in analysis.verdict.checks)
    outcome = "failed" if not analysis.verdict.stable else "caution" if cautious else "passed"
    rows = [[check.name, check.says, check.limit, str(check.outcome)] for check in analysis.verdict.checks]
    return (
        f"<p class='verdict {outcome}'>{escape(analysis.verdict.line)}</p>"
        + _write_table(["check", "found", "limit", "outcome"], rows)
        + f"<p class='note'>Averages leave out the first {analysis.discard_ps:g} ps.</p>"
    )


def _write_findings(analysis: Analysis) -> str:
    lines = list_findings(analysis.results)
    return (
        "<h2>What was seen</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
    )


def write_views(views: Mapping[str, View]) -> str:
    """Return the viewer and a canvas for each view; nothing is loaded from elsewhere."""
    if not views:
        return ""
    parts = [
        f"<script>{files('orbmm.report').joinpath('viewer.js').read_text(encoding='utf-8')}</script><div class='grid'>"
    ]
    for number, (title, view) in enumerate(views.items()):
        data = json.dumps(view, separators=(",", ":")).replace("</", "<\\/")
        parts.append(
            f"<section><h2>{escape(title)}</h2><canvas id='view{number}' width='1100' height='760' "
            f"tabindex='0' role='img' aria-label='{escape(title)}, drawn as sticks'></canvas>"
            f"<p class='note'><label>Colour by <select id='choice{number}'></select></label>: "
            f"<span class='bar' id='bar{number}'></span> <span id='legend{number}'></span>. "
            "Drag or arrow keys turn, wheel or + and - zoom.</p>"
            "<script>showMolecule(['view', 'choice', 'legend', 'bar'].map((part) => "
            f"document.getElementById(part + {number})), {data});</script></section>"
        )
    return "\n".join([*parts, "</div>"])


def _write_result(result: Result) -> str:
    title = result.name.replace("_", " ")
    buffer = BytesIO()
    draw_figure(result).savefig(buffer, format="svg", metadata={"Date": None})
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    rows = []
    for quantity, value in result.numbers.items():
        if not quantity.endswith("_error"):
            error = result.numbers.get(f"{quantity}_error")
            text = f"{value:.5g}" if error is None else f"{value:.5g} ± {error:.2g}"
            rows.append([quantity.replace("_", " "), text, result.units[quantity].replace("angstrom", "Å")])
    return (
        f"<section><h3>{escape(title)}</h3><figure><img alt='{escape(title)}' src='data:image/svg+xml;base64,{picture}'>"
        f"<figcaption>{escape(result.method)} {result.frames} frames or rows.</figcaption></figure>"
        f"<details><summary>numbers</summary>{_write_table(['quantity', 'value', 'unit'], rows)}</details></section>"
    )


def _write_missing(missing: Mapping[str, str]) -> str:
    rows = [[name.replace("_", " "), reason] for name, reason in missing.items()]
    return "<h2>Not measured</h2>" + _write_table(["observable", "why"], rows) if rows else ""


def _write_record(recording: Recording, settings_text: str) -> str:
    if not recording.record:
        return f"<h2>What was analysed</h2><p>{escape(recording.frames.path.name)}; how it was made is not known.</p>"
    known = {key: value for key, value in recording.record.items() if key != "settings" or not settings_text}
    rows = [[key, value] for key, value in _flatten(known)]
    settings = f"<details><summary>settings.toml</summary><pre>{escape(settings_text)}</pre></details>"
    table = f"<div class='record'>{_write_table(['', ''], rows)}</div>"
    return "<h2>What was run</h2>" + table + (settings if settings_text else "")


def _flatten(record: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in record.items():
        name = f"{above} {key.replace('_', ' ')}".strip()
        rows += _flatten(value, name) if isinstance(value, dict) else [(name, str(value))]
    return rows


def _write_table(headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"
