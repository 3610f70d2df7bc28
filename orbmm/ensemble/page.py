"""Write one HTML page about an ensemble: the spread of every quantity, and a link to the page of each replica."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence

from orbmm.analysis.result import find_title, name_quantity, write_unit
from orbmm.ensemble.convergence import Step
from orbmm.ensemble.figures import draw_quantity
from orbmm.ensemble.spread import Measured, Spread, describe_quantity, group_varying
from orbmm.ensemble.state import FAILED, UNSTABLE, ReplicaState, count_states
from orbmm.report.figures import format_figure
from orbmm.report.page import escape, format_page, format_table

_HEADINGS = ["quantity", "mean ± standard error", "unit", "spread", "error within", "replicas"]

_EXPLANATION = (
    "Spread: standard deviation between replicas. Standard error: the spread over the square root of their number. "
    "Error within: the usual standard error inside a replica. If it is far below the spread, the replicas are too "
    "short, or sample different states. Panels: every replica, with the mean and its standard error beside them; the "
    "mean over the first replicas; the mean over the first part of all. A mean that still moves by more than its bar "
    "has not converged."
)


def format_ensemble_page(
    title: str,
    replicas: Sequence[Measured],
    spreads: Sequence[Spread],
    left_out: Sequence[ReplicaState],
    links: Mapping[str, str],
    steps: Sequence[Step] = (),
) -> str:
    """Return the page.

    links: the path of the page of each replica, relative to this one; steps: the convergence of the time averages
    """
    outcome = "passed" if is_sound(replicas, left_out) else "failed"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='verdict {outcome}'>{escape(tell_verdict(replicas, left_out))}</p>",
        f"<p class='note'>{_EXPLANATION}</p>",
        _format_replicas(replicas, links, spreads),
        *(
            _format_observable(name, quantities, _format_figures(quantities, replicas, steps))
            for name, quantities in group_varying(spreads).items()
        ),
        "<p class='note'>Quantities that are the same in every replica are in analysis/ensemble.csv.</p>",
        _format_left_out(left_out),
    ]
    return format_page(title, parts)


def is_sound(replicas: Sequence[Measured], left_out: Sequence[ReplicaState]) -> bool:
    """Return True if no replica is unstable or has failed; some may not be complete yet."""
    return all(one.stable for one in replicas) and not any(one.state in (UNSTABLE, FAILED) for one in left_out)


def tell_verdict(replicas: Sequence[Measured], left_out: Sequence[ReplicaState]) -> str:
    """Return how many replicas are complete and stable, and what the means leave out."""
    stable = sum(one.stable for one in replicas)
    verdict = f"{stable} of {len(replicas) + len(left_out)} replicas are complete and stable"
    if not any(one.state in (UNSTABLE, FAILED) for one in left_out):
        return verdict
    return (
        f"{verdict} ({count_states(left_out)}); the means leave out runs that broke, so they look better than they are"
    )


def _format_figures(
    quantities: Mapping[str, Sequence[Spread]], replicas: Sequence[Measured], steps: Sequence[Step]
) -> str:
    """Return a row of panels for each time average: the others have no convergence to show."""
    pictures = []
    for quantity, points in quantities.items():
        here = [one for one in steps if (one.observable, one.quantity) == (points[0].observable, quantity)]
        if here:
            content = format_figure(draw_quantity(points, replicas, here), "svg")
            source = f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"
            words = f"{name_quantity(quantity)}: replicas, and the mean by their number and length"
            pictures.append(f"<img src='{source}' alt='{escape(words)}' style='max-width: 100%'>")
    return "".join(f"<figure>{picture}</figure>" for picture in pictures)


def _format_observable(observable: str, quantities: Mapping[str, Sequence[Spread]], figures: str) -> str:
    several = len({one.point for points in quantities.values() for one in points}) > 1
    headings = [*(["point"] if several else []), *_HEADINGS, *(["difference from the first point"] if several else [])]
    rows = []
    for one in (one for points in quantities.values() for one in points):
        cells = [name_quantity(one.quantity), one.text, write_unit(one.unit), _write(one.spread), _write(one.within)]
        rows.append([*([one.point] if several else []), *cells, str(one.count)] + [one.difference_text] * several)
    return f"<section><h2>{escape(find_title(observable))}</h2>{figures}{format_table(headings, rows)}</section>"


def _format_replicas(replicas: Sequence[Measured], links: Mapping[str, str], spreads: Sequence[Spread]) -> str:
    """Return the list of replicas with links, and where one is far from the others."""
    items = []
    for one in replicas:
        far = [describe_quantity(each) for each in spreads if one.name in each.outliers]
        remark = "" if one.stable else " is NOT stable"
        remark += f"; far from the others: {', '.join(far)}" if far else ""
        items.append(f"<li><a href='{escape(links[one.name])}'>{escape(one.name)}</a>{escape(remark)}</li>")
    return f"<h2>Replicas</h2><ul>{''.join(items)}</ul>"


def _format_left_out(left_out: Sequence[ReplicaState]) -> str:
    rows = [[one.member.name, one.state, one.sentence] for one in left_out]
    return "<h2>Left out</h2>" + format_table(["replica", "state", "reason"], rows) if rows else ""


def _write(number: float) -> str:
    return f"{number:.2g}" if math.isfinite(number) else ""
