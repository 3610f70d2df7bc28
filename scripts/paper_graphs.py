"""Time to build the graph by search method and size, as in Figure 6 of the Orb-v3 paper (arXiv 2504.06231).

python benchmarks/searches.py --to benchmarks/results/searches.json
python scripts/paper_graphs.py benchmarks/results/searches.json --to runs/paper-graphs
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from orbmm.report.style import LINES, make_panels, name_axes


def draw(measured: dict[str, Any], path: Path) -> None:
    """Milliseconds of the whole search over the number of atoms; a line for each method that ran."""
    figure, (panel,) = make_panels()
    ran = {method: row for method, row in measured["milliseconds"].items() if row}
    for (method, row), style in zip(ran.items(), LINES, strict=False):
        points = sorted((int(atoms), taken) for atoms, taken in row.items())
        panel.plot(*zip(*points, strict=True), marker="o", label=method, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    name_axes(panel, "atoms", f"graph (ms)\n{measured['machine']}")
    panel.legend(frameon=False)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="what benchmarks/searches.py wrote")
    parser.add_argument("--to", type=Path, default=Path("runs/paper-graphs"))
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    draw(json.loads(arguments.measured.read_text()), arguments.to / "graphs")
