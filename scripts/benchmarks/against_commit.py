"""Measure evaluations of this checkout and of another commit, pair by pair, by CPU time.

    git worktree add --detach OLDER 0c8b30b
    python scripts/benchmarks/against_commit.py OLDER --to scripts/benchmarks/results/against-0c8b30b.json

Each checkout has a process of its own for each case. The two take turns, so that other programs disturb both alike;
where both together need too much memory, only one lives at a time. An
evaluation is a fresh graph search, energy and forces of a cube of water, with random weights but for the embedded
network. Both processes keep freed memory, as `orbmm run` does. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orbmm.model.load import load_model

Row = dict[str, Any]
MINI, DIRECT, CONSERVATIVE = "orb-mini-direct-inf-xtb", "orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat"
MINI_CONSERVATIVE = "orb-mini-conservative-inf-xtb"


@dataclass(frozen=True)
class Comparison:
    """One network on one cube of water. pairs: evaluations of each side. alone: both at once need too much memory."""

    model: str
    atoms: int
    precision: str = "float32-highest"
    memory: str = "auto"
    pairs: int = 3
    alone: bool = False


COMPARISONS = {
    "embedded-256": Comparison(MINI_CONSERVATIVE, 255, pairs=30),
    "embedded-3000": Comparison(MINI_CONSERVATIVE, 3_000, pairs=7),
    "embedded-direct-256": Comparison(MINI, 255, pairs=30),
    "embedded-direct-3000": Comparison(MINI, 3_000, pairs=7),
    "direct-float32": Comparison(DIRECT, 2_268),
    "direct-bfloat16": Comparison(DIRECT, 2_268, "bfloat16"),
    "conservative-fast": Comparison(CONSERVATIVE, 2_268, memory="fast", alone=True),
    "conservative-lean": Comparison(CONSERVATIVE, 2_268, memory="lean"),
    "conservative-bfloat16-fast": Comparison(CONSERVATIVE, 2_268, "bfloat16", "fast", alone=True),
    "conservative-bfloat16-lean": Comparison(CONSERVATIVE, 2_268, "bfloat16", "lean"),
}


def find_execution(memory: str) -> Any:
    """The execution with a memory mode, in this checkout or one where it had another place."""
    try:
        from orbmm.model.inference.execution import Execution
    except ImportError:
        from orbmm.model.execution import Execution

        from orbmm.model.inference.memory import MemoryUse

        return Execution(memory=MemoryUse(mode=memory))
    return Execution(memory=memory)


def answer_turns(name: str, folder: Path) -> None:
    """Evaluate once for each line that arrives, and answer with wall and CPU seconds; the first is the warm-up."""
    comparison = COMPARISONS[name]
    torch.set_num_threads(1)
    atoms = np.load(folder / "atoms.npz")
    random = folder / "random.ckpt"
    potential = load_model(
        comparison.model,
        random if random.exists() else None,
        "cpu",
        comparison.precision,
        find_execution(comparison.memory),
    )
    composition = potential.compose(atoms["atomic_numbers"])
    positions, cell = torch.tensor(atoms["positions"]), torch.tensor(atoms["cell"])
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        prediction = potential.evaluate(composition, positions, cell)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if prediction.energy is None:
            raise SystemExit(f"{name}: no energy")
        print(json.dumps({"wall_s": wall, "cpu_s": cpu, "energy_ev": float(prediction.energy)}), flush=True)


def start_side(checkout: Path, name: str, folder: Path) -> subprocess.Popen[str]:
    """Start the process of one side, with one thread."""
    from orbmm.benchmark.run import KEEP_FREED_MEMORY

    environment = {**os.environ, **KEEP_FREED_MEMORY, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout.resolve())}
    command = [sys.executable, __file__, str(folder), "--answer", name]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def take_turn(side: subprocess.Popen[str]) -> Row:
    """Return what one evaluation of a side took."""
    if side.stdin is None or side.stdout is None:
        raise SystemExit("a side has no pipes")
    side.stdin.write("go\n")
    side.stdin.flush()
    line = side.stdout.readline()
    if not line:
        raise SystemExit(f"a side ended with {side.wait()}")
    return json.loads(line)


def measure_together(name: str, checkouts: tuple[Path, Path], folder: Path, count: int) -> list[tuple[Row, Row]]:
    """Return the pairs of two processes that take turns, after a warm-up of each."""
    sides = [start_side(checkout, name, folder) for checkout in checkouts]
    for side in sides:
        take_turn(side)
    pairs = []
    for number in range(count):
        turns = {which: take_turn(sides[which]) for which in ((0, 1) if number % 2 else (1, 0))}
        pairs.append((turns[0], turns[1]))
    for side in sides:
        side.communicate()
    return pairs


def measure_alone(name: str, checkouts: tuple[Path, Path], folder: Path, count: int) -> list[tuple[Row, Row]]:
    """Return the pairs of processes of which only one lives at a time, each with a warm-up of its own."""
    pairs = []
    for _ in range(count):
        turns = []
        for checkout in checkouts:
            side = start_side(checkout, name, folder)
            take_turn(side)
            turns.append(take_turn(side))
            side.communicate()
        pairs.append((turns[0], turns[1]))
    return pairs


def compare(name: str, older: Path, pairs_asked: int | None = None) -> Row:
    """Return the medians of both sides, and the median and the range of their ratios pair by pair."""
    from orbmm.benchmark.cases import Case, build_atoms
    from orbmm.checkpoints.catalog import find_record
    from orbmm.model.load import make_network

    comparison = COMPARISONS[name]
    with tempfile.TemporaryDirectory() as folder:
        build_atoms(Case("water", water_atoms=comparison.atoms)).save(Path(folder) / "atoms.npz")
        if not comparison.model.startswith("orb-mini"):
            torch.save(make_network(find_record(comparison.model)).state_dict(), Path(folder) / "random.ckpt")
        measure = measure_alone if comparison.alone else measure_together
        pairs = measure(name, (older, Path(__file__).parents[2]), Path(folder), pairs_asked or comparison.pairs)
    ratios = [new["cpu_s"] / old["cpu_s"] for old, new in pairs]
    medians = {
        f"{which}_{clock}": statistics.median(pair[side][clock] for pair in pairs)
        for side, which in enumerate(("older", "this"))
        for clock in ("cpu_s", "wall_s")
    }
    about = {"model": comparison.model, "precision": comparison.precision, "memory": comparison.memory}
    return {
        "case": name,
        **about,
        "atoms": comparison.atoms,
        "pairs": len(pairs),
        **medians,
        "cpu_ratio": statistics.median(ratios),
        "cpu_ratio_range": (min(ratios), max(ratios)),
        "energy_difference_ev": float(np.ptp([turn["energy_ev"] for pair in pairs for turn in pair])),
    }


def format_row(row: Row) -> str:
    """Return one line of the table."""
    least, greatest = row["cpu_ratio_range"]
    return (
        f"| {row['case']} | {row['atoms']:,} | {row['older_cpu_s']:.3f} | {row['this_cpu_s']:.3f} | "
        f"{row['cpu_ratio']:.3f} ({least:.2f}-{greatest:.2f}) | {row['energy_difference_ev']:.1g} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("older", type=Path, help="a checkout of the other commit")
    parser.add_argument("--case", action="append", choices=COMPARISONS, help="may be repeated; default: all")
    parser.add_argument("--answer", choices=COMPARISONS, help="be one side in this process")
    parser.add_argument("--pairs", type=int, help="pairs of each case; default: by the case")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    if arguments.answer:
        answer_turns(arguments.answer, arguments.older)
        sys.exit()
    from results_file import describe_run, write_results

    about = describe_run(threads=1)
    git = ["git", "-C", str(arguments.older), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    print(
        f"| case | atoms | {commit} [CPU s] | this [CPU s] | ratio | energies differ [eV] |\n|---|---|---|---|---|---|"
    )
    rows = []
    for case in arguments.case or COMPARISONS:
        rows.append(compare(case, arguments.older, arguments.pairs))
        print(format_row(rows[-1]), flush=True)
        write_results(arguments.to, about, {"older": commit, "rows": rows})
