"""Time to build the graph by search method and size, as in Figure 6 of the Orb-v3 paper (arXiv 2504.06231).

    python scripts/benchmarks/paper_graphs.py --to runs/paper-graphs
    python scripts/benchmarks/paper_graphs.py --measured scripts/benchmarks/results/searches.json --to runs/paper-graphs

The times are those of scripts/benchmarks/searches.py, measured now or before. graphs.json holds its rows and describes
the machine; graphs.png and graphs.svg show the rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from orbmm.report.style import LINES, make_panels, name_axes

SEARCHES = Path(__file__).with_name("searches.py")


def measure(arguments: argparse.Namespace, path: Path) -> None:
    """Run scripts/benchmarks/searches.py, which prints its table and writes the file."""
    command = [sys.executable, str(SEARCHES), "--device", arguments.device, "--repeats", str(arguments.repeats)]
    sizes = ["--atoms", *map(str, arguments.atoms)] if arguments.atoms else []
    subprocess.run([*command, *sizes, "--to", str(path)], check=True)


def draw(measured: dict[str, Any], path: Path) -> None:
    """Milliseconds of the whole search over the number of atoms; a line for each method that ran."""
    lines: dict[str, dict[int, float]] = defaultdict(dict)
    for row in measured["rows"]:
        if "skipped" not in row:
            lines[row["method"]][row["atoms"]] = row["graph_ms"]
    figure, (panel,) = make_panels()
    for (method, points), style in zip(lines.items(), LINES, strict=False):
        label = method.replace("_", " ")
        panel.plot(*zip(*sorted(points.items()), strict=True), marker="o", label=label, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.margins(0.05)
    place = f"{measured['processor']}, {measured['threads']} thread" if measured["device"] == "cpu" else measured["gpu"]
    name_axes(panel, "atoms", f"graph (ms)\n({place})")
    panel.legend(frameon=False)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, help="draw what scripts/benchmarks/searches.py wrote before")
    parser.add_argument("--to", type=Path, default=Path("runs/paper-graphs"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--atoms", type=int, nargs="+", help="default: those of scripts/benchmarks/searches.py")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    numbers = arguments.to / "graphs.json"
    if arguments.measured is None:
        measure(arguments, numbers)
    measured = json.loads((arguments.measured or numbers).read_text(encoding="utf-8"))
    drawn = {**measured, "drawn_by": " ".join(["python", *sys.argv])}
    numbers.write_text(json.dumps(drawn, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(measured, arguments.to / "graphs")
