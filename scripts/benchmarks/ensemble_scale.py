"""Measure what the coordinator of an ensemble of 1,000 replicas costs: its memory, and its time for each replica.

    python scripts/benchmarks/ensemble_scale.py --to scripts/benchmarks/results/ensemble-scale.json

Two local workers get tasks without forces: each writes the settings, the table and the last checkpoint of a run, and
starts no process. All else is that of `orbmm ensemble`: the plan, its files, Dask's scheduler in the coordinator, and
the states that are read from the folders every few seconds. Each number of replicas is measured in a process of its
own. The memory of the smallest ensemble is that of the packages, and its CPU time is about what an ensemble takes
beyond its runs. With `--before ROOT`, an older orbmm at that path takes its turn for each number.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orbmm.ensemble.layout import ReplicaFolder
from orbmm.ensemble.task import Ending, Order
from orbmm.run_files.energies import COLUMNS, LAST_COLUMN
from orbmm.settings import read_settings

WORKERS = 2
SYSTEM = """[system]
name = "nothing"
structure = "nothing.pdb"
[model]
device = "cpu"
[run]
length_ps = 0.01
"""
ENSEMBLE = """[ensemble]
system = "system.toml"
output = "out"
replicas = {replicas}
[scheduler]
workers = {workers}
"""


def leave_complete_run(order: Order) -> Ending:
    """Write what the state of a complete run is read from."""
    folder = ReplicaFolder(order.folder)
    settings = read_settings(folder.settings)
    (checkpoint := folder.run.checkpoints / f"step-{settings.stages[-1].steps:012d}").mkdir(parents=True)
    (checkpoint / "checkpoint.json").write_text("{}")
    folder.run.record.write_text("{}")
    folder.run.settings.write_text(folder.settings.read_text())
    row = [str(settings.stages[-1].steps), repr(settings.run.length_ps), "1.0"]
    folder.run.table.write_text(f"{COLUMNS[0]},{COLUMNS[1]},{LAST_COLUMN}\n{','.join(row)}\n")
    return Ending(0, "", socket.gethostname())


def read_peak_mb() -> float:
    """Largest memory of this process; getrusage would count that of the process that started it as well."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(lines["VmHWM"].split()[0]) / 1024, 1)


def measure(replicas: int) -> dict[str, float]:
    """Run an ensemble in this process; its time, CPU time here and of the workers, and the largest memory here."""
    from orbmm.ensemble import run  # not above: each worker imports this file, and would import torch

    with tempfile.TemporaryDirectory(prefix="orbmm-") as folder:
        (Path(folder) / "nothing.pdb").write_text("END\n")
        (Path(folder) / "system.toml").write_text(SYSTEM)
        path = Path(folder) / "ensemble.toml"
        path.write_text(ENSEMBLE.format(replicas=replicas, workers=WORKERS))
        run.perform_replica = leave_complete_run
        began = time.monotonic()
        states = run.run_ensemble(path)
        wall = time.monotonic() - began
    if not all(one.state == "complete" for one in states):
        sys.exit(f"not all are complete: {states[0]}")
    usage, of_workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "replicas": replicas,
        "wall_s": round(wall, 2),
        "coordinator_cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "workers_cpu_s": round(of_workers.ru_utime + of_workers.ru_stime, 2),
        "coordinator_memory_mb": read_peak_mb(),
    }


def measure_apart(replicas: int, root: Path | None = None) -> dict[str, float]:
    """Measure in a new process. root: of the orbmm to measure, None for the one that is imported here"""
    command = [sys.executable, __file__, "--one", str(replicas)]
    variables = os.environ | ({} if root is None else {"PYTHONPATH": str(root.resolve())})
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables)
    found: dict[str, float] = json.loads(done.stdout)
    print(found, flush=True)
    return found


def main() -> None:
    """Measure each number of replicas in a process of its own, and write the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--one", type=int, help="measure this number here, and print it")
    parser.add_argument("--before", type=Path, help="root of an older orbmm, which is measured as well")
    parser.add_argument("--to", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return
    from results_file import describe_run, write_results  # not above, as in measure

    about = describe_run(1)
    found, before = [], []
    for number in arguments.replicas:
        found.append(measure_apart(number))
        if arguments.before is not None:
            before.append(measure_apart(number, arguments.before))
    first, last = found[0], found[-1]
    more = max(last["replicas"] - first["replicas"], 1)
    numbers = {
        "workers": WORKERS,
        "ensembles": found,
        **({"ensembles_before": before} if before else {}),
        "coordinator_cpu_ms_a_replica": round((last["coordinator_cpu_s"] - first["coordinator_cpu_s"]) / more * 1e3, 2),
        "wall_ms_a_replica": round((last["wall_s"] - first["wall_s"]) / more * 1e3, 2),
        "coordinator_kb_a_replica": round(
            (last["coordinator_memory_mb"] - first["coordinator_memory_mb"]) / more * 1024, 1
        ),
    }
    write_results(arguments.to, about, numbers)


if __name__ == "__main__":
    main()
