"""Compare the costly observables of a long trajectory in one process with those shared by Dask workers.

OMP_NUM_THREADS=1 python scripts/benchmarks/analysis_workers.py --frames 40 \\
    --output scripts/benchmarks/results/analysis-workers.json

The trajectory is that of measure_analysis.py: 8,333 waters, 24,999 atoms. Each way is measured in a process of its own:
wall-clock time, and CPU time of the process with its workers, their start and end included. The results must be equal
to the last bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure_analysis import make_water, open_frames, repeat_frames
from results_file import describe_run, write_results

from orbmm.analysis import compute_bond_events, compute_hydrogen_bonds, compute_rdf_oh, compute_rdf_oo, open_workers

OBSERVABLES = (compute_rdf_oo, compute_rdf_oh, compute_bond_events, compute_hydrogen_bonds)
WAYS = (None, 1, 2)  # workers


def measure_here(folder: Path, workers: int | None) -> dict[str, Any]:
    """Return seconds of each observable, and a checksum of all results."""
    seconds, digest = {}, hashlib.sha256()
    with open_workers(workers) as pool:
        frames = replace(open_frames(folder), workers=pool, frame_ps=0.1)
        for compute in OBSERVABLES:
            began = time.perf_counter()
            contents = compute(frames).format()
            seconds[compute.__name__] = round(time.perf_counter() - began, 2)
            digest.update(b"".join(contents[name] for name in sorted(contents)))
    return {"wall_s_each": seconds, "sha256": digest.hexdigest()}


def measure(folder: Path, workers: int | None) -> dict[str, Any]:
    """Return wall-clock and CPU time [s] of a process that measures all observables."""
    command = [sys.executable, __file__, "--folder", str(folder)]
    command += [] if workers is None else ["--workers", str(workers)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"workers": workers or 0, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), **json.loads(said)}


def main() -> None:
    """Measure every way and write JSON; stop where the results are not the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=40, help="of the trajectory (default 40)")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        json.dump(measure_here(arguments.folder, arguments.workers), sys.stdout)
        return
    about = describe_run(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        repeat_frames(make_water(), arguments.frames, Path(folder))
        rows = [measure(Path(folder), workers) for workers in WAYS]
    if len({row["sha256"] for row in rows}) != 1:
        raise SystemExit("the results are not the same to the last bit")
    write_results(arguments.output, about, {"frames": arguments.frames, "atoms": 24_999, "rows": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
