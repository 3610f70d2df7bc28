"""Write one HTML page about a run that needs no network: verdict, settings, figures, tables and a 3-D view."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from orbmm.analysis.analyze import Analysis
from orbmm.analysis.reading.run_folder import Recording
from orbmm.analysis.result import HEADINGS, TITLES, Result, find_title
from orbmm.analysis.verdict import Outcome
from orbmm.errors import AnalysisError, OutputError
from orbmm.files import read_file, write_file
from orbmm.outputs import check_writable, refuse_special
from orbmm.plain_text import escape_controls
from orbmm.report.figures import DRAWINGS, draw_figure, format_figure
from orbmm.report.findings import explain_no_figure, list_findings
from orbmm.report.view import View, build_views
from orbmm.run_files.diagnosis import Diagnosis

_STYLE = """
body { font: 16px/1.45 sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin: 2rem 0 .6rem; } h3 { margin: 0 0 .3rem; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: .2rem 1rem .2rem 0; text-align: left; }
td, th { vertical-align: top; overflow-wrap: break-word; } tr { border-bottom: 1px solid #ddd; }
.record td:nth-child(2) { overflow-wrap: anywhere; } .checks td:nth-child(-n+2) { white-space: nowrap; }
.numbers td:nth-child(2), .numbers th:nth-child(2) { text-align: right; white-space: nowrap; }
figure { margin: .5rem 0; } img { width: 100%; max-width: 30rem; }
canvas { width: 100%; border: 1px solid #bbb; box-sizing: border-box; touch-action: pan-y pinch-zoom; }
.verdict { font-size: 1.15rem; font-weight: bold; padding: .6rem .9rem; border-left: .5rem solid; background: #f4f4f4; }
.passed { border-color: #0072B2; } .failed { border-color: #D55E00; } .caution { border-color: #E69F00; }
.bar { display: inline-block; width: 5rem; height: .7rem; print-color-adjust: exact; }
[hidden] { display: none !important; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 0 2rem; }
.packed { columns: 2 24rem; column-gap: 2rem; }
.packed section { padding-bottom: 1.2rem; } section { min-width: 0; break-inside: avoid; }
button { min-width: 2.2rem; min-height: 2.2rem; font-size: 1rem; vertical-align: middle; }
@media (pointer: coarse) { .keys { display: none; } }
figcaption, .note { font-size: .85rem; color: #444; } pre { font-size: .8rem; overflow-x: auto; }
@media (max-width: 40rem) {
body { margin: 1rem auto; padding: 0 .9rem; } h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; }
.checks tr { display: grid; grid-template-columns: 1fr auto; padding: .3rem 0; }
.checks tr:first-child { display: none; }
.checks td { padding: 0; } .checks td:first-child { font-weight: bold; }
.checks td:nth-child(n+3) { grid-column: 1 / 3; }
.checks td:nth-child(4)::before { content: "limit: "; } .checks td:nth-child(4) { color: #444; }
}
@media print {
button, label, .handling, details:not([open]) { display: none; } h2, h3 { break-after: avoid; }
html { font-size: 12px; } body { max-width: none; margin: 0; padding: 0; font-size: 1rem; }
.grid { grid-template-columns: 1fr 1fr; } .packed { columns: 2; } .packed section { padding-bottom: .6rem; }
}
"""
_START = (
    "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width, initial-scale=1'>"
)
_SIGNED = re.compile(re.escape(_START).encode() + rb"(<meta name='generator' content='orbmm, sha256 ([0-9a-f]{64})'>)")
_UNSIGNED = re.compile(
    re.escape(f"{_START}<title>").encode() + rb"[^<]*</title><style>\nbody { font: 16px/1\.45 sans-serif;"
)
_RECORD_NAMES = {"versions": "version of", "inputs": "sha256 of"}
_LARGEST_PAGE = 1 << 31  # bytes
_ERRORS = "window.onerror = (message) => { document.documentElement.dataset.error = message; };"


def write_page(
    recording: Recording, analysis: Analysis, path: Path, settings_text: str = "", diagnosis: Diagnosis | None = None
) -> None:
    """Write the report as one file; an earlier report that orbmm wrote is replaced.

    diagnosis: of the run's network, None if there is none
    Raises OutputError if another file has this name, AnalysisError if the report cannot be written.
    """
    page = build_page(recording, analysis, settings_text, diagnosis)
    check_page(path)
    try:
        write_file(path, page.encode())
    except OSError as error:
        raise AnalysisError(f"{path}: the report cannot be written ({error}); give --output") from error


def check_page(path: Path) -> None:
    """Raise the errors that `write_page` would raise for the path, before there is a page."""
    try:
        if refuse_special(path) and not _is_own_page(read_file(path, _LARGEST_PAGE)):
            raise OutputError(path, "is no report of orbmm, or was changed since")
        path.parent.stat()  # a report makes no folders
        check_writable(path.parent)
    except OSError as error:
        raise AnalysisError(f"{path}: the report cannot be written ({error}); give --output") from error


def _is_own_page(page: bytes) -> bool:
    """Return True if orbmm wrote the page and it was not changed.

    Older versions signed no page; their pages are recognised by their start.
    """
    signed = _SIGNED.match(page)
    if signed is None:
        return _UNSIGNED.match(page) is not None
    return signed[2].decode() == hashlib.sha256(page.replace(signed[1], b"", 1)).hexdigest()


def _sign(rest: str) -> str:
    """Return the page with a start that names its generator and the sha256 of the rest."""
    sha256 = hashlib.sha256(f"{_START}{rest}".encode()).hexdigest()
    return f"{_START}<meta name='generator' content='orbmm, sha256 {sha256}'>{rest}"


def build_page(
    recording: Recording, analysis: Analysis, settings_text: str = "", diagnosis: Diagnosis | None = None
) -> str:
    """Return the whole page; figures and the viewer are inside, nothing is loaded from elsewhere.

    settings_text: settings.toml as resolved, empty if unknown; diagnosis: as in write_page
    """
    name = recording.settings.system.name if recording.settings else recording.frames.path.name
    bare = {result.name: says for result in analysis.results.values() if (says := _explain_no_figure(result))}
    shown = [result for result in analysis.results.values() if result.name not in bare]
    parts = [
        f"<h1>{escape(name)}</h1>",
        _write_verdict(analysis),
        write_views(build_views(recording.all_atoms, analysis.results), _write_findings(analysis)),
        *(_write_group(heading, names, shown) for heading, names in HEADINGS.items()),
        _write_group("Other observables", {result.name for result in shown} - set(TITLES), shown),
        _write_bare(analysis, bare),
        _write_missing(analysis.missing),
        _write_diagnosis(diagnosis),
        _write_record(recording, settings_text),
    ]
    return format_page(name, parts)


def format_page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page from the parts of its body, which are HTML; nothing is loaded from elsewhere."""
    head = f"{_write_policy()}<title>{escape(title)}</title><style>{_STYLE}</style><script>{_ERRORS}</script>"
    return _sign(head + "</head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n")


def escape(text: str, keep: str = "") -> str:
    """Return text for HTML; control characters are written out, except those to keep."""
    return html.escape(escape_controls(text, keep))


def _write_verdict(analysis: Analysis) -> str:
    cautious = any(check.outcome is Outcome.CAUTION for check in analysis.verdict.checks)
    outcome = "failed" if not analysis.verdict.stable else "caution" if cautious else "passed"
    rows = [[check.name, str(check.outcome), check.says, check.limit] for check in analysis.verdict.checks]
    averaged = f"leave out the first {analysis.discard_ps:g} ps" if analysis.discard_ps else "are over the whole run"
    notes = "".join(f"<p class='note'>Note: {escape(note)}.</p>" for note in analysis.notes)
    return (
        f"<p class='verdict {outcome}'>{escape(analysis.verdict.line)}</p>{notes}"
        + format_table(["check", "outcome", "found", "limit"], rows, "checks")
        + f"<p class='note'>Averages {averaged}.</p>"
    )


def _write_findings(analysis: Analysis) -> str:
    lines = list_findings(analysis.results)
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section><h2>What was seen</h2><ul>{shown}</ul></section>" if lines else ""


def write_views(views: Mapping[str, View], beside: str = "") -> str:
    """Return the viewer and a canvas for each view; nothing is loaded from elsewhere.

    beside: a section that follows the views, in their row where there is room
    """
    if not views:
        return beside
    parts = ["<div class='grid'>"]
    for number, (title, view) in enumerate(views.items()):
        data = json.dumps(view, separators=(",", ":")).replace("<", "\\u003c")  # no tag can begin or end in it
        parts.append(
            f"<section><h2>{escape(title)}</h2><canvas id='view{number}' "
            f"tabindex='0' role='img' aria-label='{escape(title)}, drawn as sticks'></canvas>"
            f"<p class='note'><button id='nearer{number}' aria-label='zoom in'>+</button> "
            f"<button id='farther{number}' aria-label='zoom out'>−</button> "
            f"<label>Colour by <select id='choice{number}'></select>:</label> "
            f"<span class='bar' id='bar{number}'></span> <span id='legend{number}'></span>. "
            "<span class='handling'>Drag sideways to turn<span class='keys'>, or use the arrow keys; "
            "Ctrl and the wheel zoom</span>.</span></p>"
            f"<script type='application/json' class='molecule'>{data}</script></section>"
        )
    return "\n".join([*parts, beside, "</div>", f"<script>{_read_viewer()}</script>"])


def _read_viewer() -> str:
    return files("orbmm.report").joinpath("viewer.js").read_text(encoding="utf-8")


def _write_policy() -> str:
    """Return the tag that makes a browser run only the scripts of this file and load nothing from elsewhere."""
    digests = [hashlib.sha256(script.encode()).digest() for script in (_ERRORS, _read_viewer())]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


def _explain_no_figure(result: Result) -> str | None:
    return explain_no_figure(result) if result.name in DRAWINGS else "numbers only"


def _write_result(result: Result) -> str:
    title = escape(result.title)
    picture = base64.b64encode(format_figure(draw_figure(result), "svg")).decode("ascii")
    return (
        f"<section><h3>{title}</h3><figure><img alt='{title}' src='data:image/svg+xml;base64,{picture}'>"
        f"<figcaption>{escape(result.source)}</figcaption></figure>"
        f"<details><summary>numbers</summary>{_write_numbers(result)}</details></section>"
    )


def _write_group(heading: str, names: Collection[str], results: Sequence[Result]) -> str:
    """Return the results with these names under a heading; nothing if there are none."""
    parts = [_write_result(result) for result in results if result.name in names]
    return f"<h2>{escape(heading)}</h2><div class='packed'>{''.join(parts)}</div>" if parts else ""


def _write_numbers(result: Result) -> str:
    rows = [[row.quantity, row.text, row.unit] for row in result.rows()]
    return format_table(["quantity", "value", "unit"], rows, "numbers")


def _write_bare(analysis: Analysis, bare: Mapping[str, str]) -> str:
    """Return a line in place of the figure for each result that has none, with the numbers."""
    parts = [
        f"<section><h3>{escape(analysis.results[name].title)}</h3><p>{escape(says)}</p>"
        f"<details><summary>method and numbers</summary><p class='note'>{escape(analysis.results[name].source)}</p>"
        f"{_write_numbers(analysis.results[name])}</details></section>"
        for name, says in bare.items()
    ]
    return "<h2>Without a figure</h2><div class='packed'>" + "".join(parts) + "</div>" if parts else ""


def _write_missing(missing: Mapping[str, str]) -> str:
    rows = [[find_title(name), reason] for name, reason in missing.items()]
    return "<h2>Not measured</h2>" + format_table(["observable", "why"], rows) if rows else ""


def _write_diagnosis(diagnosis: Diagnosis | None) -> str:
    """Return the table of a diagnosis of the network; nothing if there is none."""
    if diagnosis is None:
        return ""
    outcomes = {True: "passed", False: "failed", None: "not judged"}
    rows = [
        [each.name, outcomes[each.passed], f"{each.value:.3g} {each.unit}", f"{each.describe_limit()} {each.reason}"]
        for each in diagnosis.diagnostics
    ]
    rows += [[name, "not measured", reason, ""] for name, reason in diagnosis.missing.items()]
    advice = "".join(f"<p class='note'>{escape(sentence)}.</p>" for sentence in diagnosis.advice)
    return (
        f"<h2>How far the model can be trusted here</h2><p>{escape(diagnosis.verdict)}</p>"
        + format_table(["check", "outcome", "found", "limit"], rows, "checks")
        + f"{advice}<p class='note'>By orbmm diagnose, {escape(diagnosis.precision)}, "
        f"weights {escape(diagnosis.weights_sha256[:12])}.</p>"
    )


def _write_record(recording: Recording, settings_text: str) -> str:
    if not recording.record:
        return f"<h2>What was analysed</h2><p>{escape(recording.frames.path.name)}; how it was made is not known.</p>"
    known = {key: value for key, value in recording.record.items() if key != "settings" or not settings_text}
    rows = [[key, value] for key, value in _flatten(known)]
    shown = escape(settings_text, keep="\n\t")
    settings = f"<details><summary>settings.toml</summary><pre>{shown}</pre></details>"
    return "<h2>What was run</h2>" + format_table(["setting", "value"], rows) + (settings if settings_text else "")


def _flatten(record: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in record.items():
        name = f"{above} {_RECORD_NAMES.get(key, key.replace('_', ' '))}".strip()
        rows += _flatten(value, name) if isinstance(value, dict) else [(name, str(value))]
    return rows


def format_table(headings: list[str], rows: list[list[str]], kind: str = "record") -> str:
    """Return a table of texts. kind: its class in the style of the page"""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class='{kind}'><tr>{head}</tr>{body}</table>"
