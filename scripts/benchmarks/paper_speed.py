"""Measure speed and memory by model and size, as in Table 1 and Figure 2 of the Orb-v3 paper (arXiv 2504.06231).

    python scripts/benchmarks/paper_speed.py --to runs/paper-speed

    python scripts/benchmarks/paper_speed.py --peer mace-torch=PYTHON --peer sevenn=PYTHON --peer mattersim=PYTHON

Random weights: speed does not depend on them. The paper's own figures (H200, 1,000 atoms, forward pass only, without
building the graph) stand beside ours as what they are; ours contain the graph. Sizes that do not fit are skipped with
the reason, which the JSON file keeps. speed.png and speed.svg show the rows of speed.json; times.png and times.svg show
them as Figure 2 does: time relative to the fastest network at each size, with the graph hatched. PYTHON is that of the
environment of a peer; peers compute the stress too, as in that figure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from orbmm.benchmark.cases import Case, build_atoms, choose_cases, read_cases
from orbmm.benchmark.machine import describe_machine
from orbmm.benchmark.network_peer import NETWORK_PEERS, measure_network_peer
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


def draw(rows: list[Row], machine: str, path: Path, with_paper: bool) -> None:
    """Evaluations per second, and peak memory, over the number of atoms; a line for each network.

    with_paper: the paper's figures too, which are those of a GPU
    """
    figure, (speed, memory) = make_panels(2)
    figure.suptitle(f"{machine}, with the graph", fontsize="medium")
    for (model, mine), style in zip(group_rows(rows).items(), LINES, strict=False):
        atoms = [row["atoms"] for row in mine]
        speed.plot(atoms, [1 / row["evaluation_s"] for row in mine], marker="o", label=model, **style)
        peaks = [row.get("device_mb", row["host_mb"]) / 1000 for row in mine]
        memory.plot(atoms, peaks, marker="o", **style)
        if with_paper and model in PAPER_STEPS_PER_S:
            stars = {"marker": "*", "markersize": 10, "ls": "none", "color": style["color"]}
            speed.plot(PAPER_ATOMS, PAPER_STEPS_PER_S[model], **stars)
    if with_paper:
        speed.plot([], [], marker="*", ls="none", color="0.3", label=f"paper: {PAPER_CONDITION}")
    sizes = sorted({row["atoms"] for mine in group_rows(rows).values() for row in mine})
    for panel in (speed, memory):
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.margins(0.05)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.minorticks_off()
    name_axes(speed, None, "evaluations (1/s)")
    name_axes(memory, "atoms", "peak memory (GB)")
    figure.legend(loc="outside lower center", ncols=2, fontsize="x-small", frameon=False)
    save(figure, path)


def draw_times(rows: list[Row], path: Path) -> None:
    """Time of an evaluation relative to the fastest network at that size; the part of the graph is hatched."""
    groups = group_rows(rows)
    sizes = sorted({row["atoms"] for mine in groups.values() for row in mine})
    fastest = {
        size: min(row["evaluation_s"] for mine in groups.values() for row in mine if row["atoms"] == size)
        for size in sizes
    }
    figure, (panel,) = make_panels()
    width = 0.8 / max(1, len(groups))
    for number, ((model, mine), style) in enumerate(zip(groups.items(), LINES, strict=False)):
        places = [sizes.index(row["atoms"]) - 0.4 + (number + 0.5) * width for row in mine]
        units = [fastest[row["atoms"]] for row in mine]
        graphs = [row["graph_s"] / unit for row, unit in zip(mine, units, strict=True)]
        rest = [(row["evaluation_s"] - row["graph_s"]) / unit for row, unit in zip(mine, units, strict=True)]
        bars = {"width": width, "color": style["color"], "edgecolor": "white"}
        panel.bar(places, graphs, hatch="//////", **bars)
        panel.bar(places, rest, bottom=graphs, label=model, **bars)
    panel.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    panel.margins(0.02)
    name_axes(panel, "atoms", "times the fastest\n(graph hatched)")
    figure.legend(loc="outside lower center", ncols=2, fontsize="x-small", frameon=False)
    save(figure, path)


def group_rows(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows with numbers of each network: first ours, in the order of MODELS, then peers."""
    groups: dict[str, list[Row]] = {model: [] for model in (*MODELS, *NETWORK_PEERS)}
    for row in rows:
        if "skipped" not in row:
            groups[row["model"]].append(row)
    return {model: mine for model, mine in groups.items() if mine}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and SVG."""
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=200)


def measure_peers(plan: Plan, peers: dict[str, str]) -> list[Row]:
    """A row for each peer and case; after a size that fails or takes too long, larger ones are skipped."""
    rows: list[Row] = []
    for name, python in peers.items():
        failed = ""
        for case in plan.cases:
            answer = {"skipped": f"not tried after {failed}"} if failed else measure_peer(plan, name, python, case)
            rows.append({"case": case.name, "model": name, **answer})
            failed = failed or (case.name if "skipped" in answer else "")
            print(describe_peer(rows[-1]), flush=True)
    return rows


def measure_peer(plan: Plan, name: str, python: str, case: Case) -> Row:
    """The number of atoms with what the peer took, or the reason to skip it."""
    try:
        atoms = build_atoms(case)
    except OrbmmError as error:
        return {"skipped": str(error)}
    with tempfile.TemporaryDirectory(prefix="orbmm-peer-") as folder:
        archive = Path(folder) / "atoms.npz"
        atoms.save(archive)
        answer = measure_network_peer(plan, name, python, archive, Path(folder) / "peer")
    return {"atoms": len(atoms.atomic_numbers), **answer}


def describe_peer(row: Row) -> str:
    """One line for the row of a peer."""
    if "skipped" in row:
        return f"{row['case']:26} {row.get('atoms', ''):>7} {row['model']:30} skipped: {row['skipped']}"
    return (
        f"{row['case']:26} {row['atoms']:>7} {row['model']:30} {1 / row['evaluation_s']:9.3g} evals/s, "
        f"{row['evaluation_cpu_s']:.3g} s of CPU time, graph {1000 * row['graph_s']:.1f} ms, "
        f"{row.get('device_mb', row['host_mb']):.0f} MB, {row['package']}"
    )


def read_peer(text: str) -> tuple[str, str]:
    """Return name and Python of a peer. text: NAME=PYTHON."""
    name, _, python = text.partition("=")
    if name not in NETWORK_PEERS or not python:
        raise argparse.ArgumentTypeError(f"got {text}, expected NAME=PYTHON with a name of {', '.join(NETWORK_PEERS)}")
    return name, python


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("runs/paper-speed"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32-high")
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated; default: all")
    parser.add_argument("--peer", action="append", type=read_peer, default=[], metavar="NAME=PYTHON")
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
    rows += measure_peers(plan, dict(arguments.peer))
    paper = {"atoms": PAPER_ATOMS, "condition": PAPER_CONDITION, "steps_per_s": PAPER_STEPS_PER_S}
    report = json.dumps({**about, "device": plan.device, "paper": paper, "rows": rows}, indent=1, ensure_ascii=False)
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "speed.json").write_text(report + "\n", encoding="utf-8")
    draw(rows, place, arguments.to / "speed", with_paper=place == about["gpu"])
    draw_times(rows, arguments.to / "times")
