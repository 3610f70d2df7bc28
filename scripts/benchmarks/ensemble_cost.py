"""Compare the CPU time of an ensemble with that of the same runs by `xargs -P 2`.

    python scripts/benchmarks/ensemble_cost.py --to scripts/benchmarks/results/ensemble-cost.json

Both do eight short runs of a few waters with the embedded network, two at a time, in turn for several rounds. CPU time
is that of all processes: coordinator, workers and runs. The files of both are compared byte by byte, and each run with
that of the next seed, which must differ. Runs this short are the worst case, because starting the
coordinator and its workers costs the same for runs of any length. The few waters break apart in longer runs. For these,
take a system that lasts:

    python scripts/benchmarks/ensemble_cost.py --system systems/alanine-dipeptide/system.toml --steps 400

With `--before ROOT`, the ensemble of an older orbmm at that path takes its turn in each round.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from openmm import app, unit
from results_file import describe_run, write_results

from orbmm.settings import override_settings, read_settings, write_settings

os.environ["OMP_NUM_THREADS"] = "1"  # of each run, as the ensemble shares two cores among two
REPLICAS, WORKERS, WATERS = 8, 2, 4
PR_SET_CHILD_SUBREAPER = 36  # of prctl(2), Linux
FILES = ("trajectory.xtc", "confidence.dat", "topology.pdb")
MAIN = [sys.executable, "-c", "from orbmm.cli.main import main; main()"]
SYSTEM = """[system]
name = "water"
structure = "waters.pdb"
[model]
device = "cpu"
[run]
minimize_iterations = 10
platform = "Reference"
length_ps = {length_ps}
"""
ENSEMBLE = f"""[ensemble]
system = "system.toml"
output = "{{output}}"
replicas = {REPLICAS}
[scheduler]
workers = {WORKERS}
"""


def adopt_orphans() -> None:
    """Let processes whose parents end become children of this one: else their CPU time would be missing."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("this kernel cannot give orphans to a process; the CPU time would be incomplete")


def measure(command: list[str], folder: Path, given: str | None = None) -> dict[str, float]:
    """CPU and wall-clock time [s] of a command with all its processes, and how often Linux gave them a page of memory.

    This process must have no other children.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, input=given, text=True, stdout=subprocess.DEVNULL)
    with suppress(ChildProcessError):  # none is left
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.monotonic() - began
    return {"cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "page_faults": after.ru_minflt - before.ru_minflt}


def prepare(folder: Path, steps: int, system: Path | None = None) -> None:
    """Write the structure and the settings: of a few waters, or those of a system with so many steps."""
    for output in ("out", "before"):
        (folder / f"{output}.toml").write_text(ENSEMBLE.format(output=output))
    if system is not None:
        settings = read_settings(system)
        length = {"run": {"length_ps": steps * settings.run.timestep_fs / 1000.0, "platform": "Reference"}}
        write_settings(override_settings(settings, length), folder / "system.toml")
        return
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=WATERS, neutralize=False)
    with (folder / "waters.pdb").open("w") as stream:
        app.PDBFile.writeFile(modeller.topology, modeller.positions, stream)
    (folder / "system.toml").write_text(SYSTEM.format(length_ps=steps * 0.0005))


def is_same(one: Path, other: Path) -> bool:
    """Whether two run folders hold the same frames, confidence and rows, but for the speed in the rows."""
    rows = [
        [line.rpartition(",")[0] for line in (run / "energies.csv").read_text().splitlines()] for run in (one, other)
    ]
    return rows[0] == rows[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def count_same(folder: Path, shift: int) -> int:
    """How many replicas have the files of the run by hand whose seed is higher by a shift, in a circle."""
    return sum(
        is_same(folder / f"out/replicas/seed-{seed + 1}/run", folder / f"hand-{(seed + shift) % REPLICAS + 1}")
        for seed in range(REPLICAS)
    )


def measure_round(steps: int, system: Path | None, before: Path | None) -> dict[str, Any]:
    """CPU and wall-clock time of each way in a new folder, and how many runs are the same.

    before: root of an older orbmm, whose ensemble is one more way
    """
    seeds = "\n".join(str(seed) for seed in range(1, REPLICAS + 1))
    run = shlex.join([*MAIN, "run", "system.toml", "--no-analyze", "--quiet", "--seed"])
    ways = {
        "xargs": (["xargs", "-P", str(WORKERS), "-I", "{}", "sh", "-c", f"{run} {{}} --output hand-{{}}"], seeds),
        "ensemble": ([*MAIN, "ensemble", "out.toml", "--quiet"], None),
    }
    if before is not None:
        old = ["env", f"PYTHONPATH={before.resolve()}"]
        ways["ensemble_before"] = ([*old, *MAIN, "ensemble", "before.toml", "--quiet"], None)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="orbmm-") as folder:
        prepare(Path(folder), steps, system)
        for name, (command, given) in ways.items():
            found[name] = measure(command, Path(folder), given)
        same, next_seed = (count_same(Path(folder), shift) for shift in (0, 1))
    return found | {"same_files": same, "same_files_as_next_seed": next_seed}


def main() -> None:
    """Measure several rounds, and write their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="of each run")
    parser.add_argument("--system", type=Path, help="settings to run instead of those of a few waters")
    parser.add_argument("--before", type=Path, help="root of an older orbmm, whose ensemble is measured as well")
    parser.add_argument("--to", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args()
    about = describe_run(1)
    adopt_orphans()
    rounds = []
    for _ in range(arguments.rounds):
        rounds.append(measure_round(arguments.steps, arguments.system, arguments.before))
        print(rounds[-1], flush=True)
    ways = [name for name, found in rounds[0].items() if isinstance(found, dict)]
    medians = {name: statistics.median(one[name]["cpu_s"] for one in rounds) for name in ways}
    numbers = {
        "replicas": REPLICAS,
        "workers": WORKERS,
        "system": str(arguments.system or f"{WATERS} waters"),
        "steps_of_each": arguments.steps,
        "rounds": rounds,
        "median_cpu_s": medians,
        "ratio": round(medians["ensemble"] / medians["xargs"], 3),
    }
    write_results(arguments.to, about, numbers)
    print(numbers["median_cpu_s"], numbers["ratio"])


if __name__ == "__main__":
    main()
