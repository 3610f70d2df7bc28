"""Print what gpu_kit.sh measured as one Markdown table, under the name of the card.

    python scripts/benchmarks/gpu_table.py RESULTS [--to FILE.json]

Pieces that failed, or were not run, are named with their exit code.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HEADER = "| piece | what | atoms | evaluations/s | steps/s | memory [MB] | error |\n|---|---|---|---|---|---|---|"
WORDS = ("case", "method", "step", "model", "precision", "operands", "memory", "force")
ERROR = "rms_difference_mev_per_angstrom"


def read_pieces(folder: Path) -> dict[str, dict[str, Any]]:
    """The numbers of each piece, by its name: NAME.json, or NAME/benchmark.json."""
    files = [*sorted(folder.glob("*.json")), *sorted(folder.glob("*/benchmark.json"))]
    pieces = {}
    for path in files:
        name = path.parent.name if path.name == "benchmark.json" else path.stem
        pieces[name] = json.loads(path.read_text(encoding="utf-8"))
    return pieces


def format_row(piece: str, row: dict[str, Any]) -> str:
    """One line of the table; what a row does not hold stays empty."""
    what = ", ".join(str(row[word]) for word in WORDS if row.get(word) not in (None, ""))
    modes = [word.replace("_", " ") for word in ("compile", "cuda_graphs") if row.get(word)]
    cells = [
        piece,
        ", ".join([what, *modes, *([f"skipped: {row['skipped']}"] if "skipped" in row else [])]),
        str(row.get("atoms", "")),
        f"{1 / row['evaluation_s']:.3g}" if "evaluation_s" in row else "",
        f"{1 / row['step_s']:.3g}" if "step_s" in row else "",
        f"{row['device_mb']:.0f}" if "device_mb" in row else "",
        f"{row[ERROR]:.2g} meV/Å" if ERROR in row else "",
    ]
    return f"| {' | '.join(cells)} |"


def describe_card(pieces: dict[str, dict[str, Any]]) -> str:
    """The card and the versions; several cards in one folder would be a mistake, and are all named."""
    cards = sorted({str(piece.get("gpu")) for piece in pieces.values()})
    versions = next(iter(pieces.values()))["versions"]
    return f"{' and '.join(cards)}; torch {versions.get('torch')}, OpenMM {versions.get('openmm')}"


def list_unfinished(folder: Path) -> list[str]:
    """Pieces that were begun and did not end well, with their exit codes."""
    codes = {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.done"))}
    return [f"{name}: exit code {code}, see {name}.log" for name, code in codes.items() if code != "0"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, help="write all numbers to one file, for scripts/benchmarks/results")
    arguments = parser.parse_args()
    pieces = read_pieces(arguments.folder)
    if not pieces:
        sys.exit(f"{arguments.folder} holds no numbers: run scripts/benchmarks/gpu_kit.sh run {arguments.folder}")
    print(describe_card(pieces), HEADER, sep="\n\n")
    for name, piece in pieces.items():
        for row in piece["rows"]:
            print(format_row(name, row))
    for line in list_unfinished(arguments.folder):
        print(f"\n{line}")
    if arguments.to:
        arguments.to.write_text(json.dumps(pieces, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
