"""How far `orbmm estimate` is off: each case of a benchmark.json predicted from the smaller ones beside it.

    orbmm benchmark --model orb-v3-direct-inf-omat --random-weights --force none --output boxes
    python scripts/benchmarks/estimate_error.py boxes/benchmark.json --to scripts/benchmarks/results/estimate-error.json

Two smaller boxes are needed, as `orbmm estimate` itself takes two. The head of the benchmark.json, which says where its
cases were measured, is kept as `measured`. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from results_file import describe_run, write_results

from orbmm.benchmark.estimate import CALIBRATION_ATOMS, Way, predict, read_measured

HEADER = (
    "| model | precision | memory | edges | seconds | predicted | off by | MB | predicted | off by |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def compare(path: Path) -> Iterator[dict[str, Any]]:
    """A row for every measured box that has as many smaller ones as an estimate takes."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    done = [row for row in rows if "evaluation_s" in row]
    ways = dict.fromkeys(Way(row["model"], row["precision"], row["memory"]) for row in done)
    for way in ways:
        measured = read_measured(path, way)
        for box in measured:
            smaller = [each for each in measured if each.edges < box.edges]
            if len(smaller) < len(CALIBRATION_ATOMS):
                continue
            guess = predict(way, smaller, box.edges, timestep_fs=0.5, free_mb=0.0)
            yield {
                "model": way.model,
                "precision": way.precision,
                "memory": way.memory,
                "edges": box.edges,
                "evaluation_s": box.evaluation_s,
                "predicted_s": guess.step_s,
                "time_error": guess.step_s / box.evaluation_s - 1,
                "memory_mb": box.memory_mb,
                "predicted_mb": guess.memory_mb,
                "memory_error": guess.memory_mb / box.memory_mb - 1,
            }


def read_head(path: Path) -> dict[str, Any]:
    """Command, machine, versions and date of a benchmark.json."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in report.items() if name != "rows"}


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"| {row['model']} | {row['precision']} | {row['memory']} | {row['edges']} | {row['evaluation_s']:.3g} | "
        f"{row['predicted_s']:.3g} | {row['time_error']:+.0%} | {row['memory_mb']:.0f} | {row['predicted_mb']:.0f} | "
        f"{row['memory_error']:+.0%} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", type=Path, help="a benchmark.json with three cases or more of a model")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    rows = list(compare(arguments.benchmark))
    if not rows:
        parser.error(f"{arguments.benchmark} has no model with three cases of different sizes")
    print(HEADER, *map(format_row, rows), sep="\n")
    measured = {"from": arguments.benchmark.name, **read_head(arguments.benchmark)}
    write_results(arguments.to, describe_run(torch.get_num_threads()), {"measured": measured, "rows": rows})
