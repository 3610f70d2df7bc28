"""Measure speed and memory by model and size, as in Table 1 and Figure 2 of the Orb-v3 paper (arXiv 2504.06231).

    python scripts/benchmarks/paper_speed.py --to runs/paper-speed

Random weights: speed does not depend on them. The paper's own figures (H200, 1,000 atoms, forward pass only, without
building the graph) stand beside ours as what they are; ours contain the graph. Sizes that do not fit are skipped with
the reason, which the JSON file keeps. speed.png and speed.svg show the rows of speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from orbmm.benchmark.cases import choose_cases, read_cases
from orbmm.benchmark.machine import describe_machine
from orbmm.benchmark.report import HEADER, format_row
from orbmm.benchmark.run import Plan, Row, run_plan
from orbmm.errors import OrbmmError
from orbmm.model.precision import find_device
from orbmm.report.style import LINES, make_panels, name_axes

MODELS = tuple(f"orb-v3-{kind}-{neighbors}-omat" for kind in ("direct", "conservative") for neighbors in ("20", "inf"))
WATERS = ("water-0.3k", "water-1k", "water-3k", "water-10k", "water-30k", "water-100k")
PAPER_ATOMS = 1_000
PAPER_CONDITION = "H200, forward only, no graph"
PAPER_STEPS_PER_S = dict(
    zip(MODELS, (216.5, 125.0, 41.2, 28.1), strict=True)
)  # direct-20, direct-inf, conservative-...


def draw(rows: list[Row], machine: str, path: Path) -> None:
    """Evaluations per second, and peak memory, over the number of atoms; a line for each model."""
    figure, (speed, memory) = make_panels(2)
    models = [model for model in MODELS if any(row["model"] == model for row in rows)]
    for model, style in zip(models, LINES, strict=False):
        mine = [row for row in rows if row["model"] == model and "skipped" not in row]
        atoms = [row["atoms"] for row in mine]
        speed.plot(atoms, [1 / row["evaluation_s"] for row in mine], marker="o", label=model, **style)
        peaks = [row.get("device_mb", row["host_mb"]) / 1000 for row in mine]
        memory.plot(atoms, peaks, marker="o", **style)
        speed.plot(PAPER_ATOMS, PAPER_STEPS_PER_S[model], marker="*", markersize=10, ls="none", color=style["color"])
    speed.plot([], [], marker="*", ls="none", color="0.3", label=f"paper: {PAPER_CONDITION}")
    for panel in (speed, memory):
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.margins(0.05)
    name_axes(speed, "atoms", f"force evaluations per second\n({machine}, with graph)")
    name_axes(memory, "atoms", "peak memory (GB)")
    speed.legend(fontsize="x-small", frameon=False)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("runs/paper-speed"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32-high")
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated; default: all")
    parser.add_argument("--cases", type=Path, help="a TOML file of other cases, as `orbmm benchmark` takes it")
    parser.add_argument("--case", action="append", help="may be repeated; default: water of all sizes")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--evaluations", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=600.0, help="a size that would take longer is skipped")
    arguments = parser.parse_args()
    about = {"command": " ".join(["python", *sys.argv]), "threads": arguments.threads, **describe_machine()}
    try:
        place = about["processor"] if find_device(arguments.device).type == "cpu" else about["gpu"]
        names = arguments.case or (None if arguments.cases else list(WATERS))
        cases = choose_cases(read_cases(arguments.cases), names)
    except OrbmmError as error:
        parser.error(str(error))
    plan = Plan(
        cases=cases,
        models=tuple(arguments.model or MODELS),
        precisions=(arguments.precision,),
        forces=(),
        weights="random",
        device=arguments.device,
        threads=arguments.threads,
        evaluations=arguments.evaluations,
        steps=0,
        limit_s=arguments.limit_s,
    )
    print(HEADER)
    rows = run_plan(plan, lambda row: print(format_row(row), flush=True))
    paper = {"atoms": PAPER_ATOMS, "condition": PAPER_CONDITION, "steps_per_s": PAPER_STEPS_PER_S}
    report = json.dumps({**about, "device": plan.device, "paper": paper, "rows": rows}, indent=1, ensure_ascii=False)
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "speed.json").write_text(report + "\n", encoding="utf-8")
    draw(rows, place, arguments.to / "speed")
