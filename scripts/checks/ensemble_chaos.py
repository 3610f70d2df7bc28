"""Kill workers, runs and the coordinator of an ensemble at random times, and compare it with undisturbed runs.

    python scripts/checks/ensemble_chaos.py --kills 30 --work chaos \\
        --json scripts/benchmarks/results/ensemble-chaos.json

Replicas of a few waters with the embedded network run on a local cluster of two workers. After random times a SIGKILL
ends a worker, the process of a run, or the coordinator, which is then started again with the same command. Once in all,
a worker is stopped with SIGSTOP, and once a run finds no room for its files (a limit on their size, which has the same
effect as a full disk). An ensemble whose replicas are all complete is compared with runs by hand: frames, confidence
and topology byte by byte, rows but for their speed, final positions and velocities to the last bit. Then another one
begins, until the wanted number of signals has been sent. Prints JSON; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import mdtraj
import numpy as np
import psutil
from kill_test import read_final_state, read_rows, write_waters

REPLICAS, WORKERS, RETRIES = 4, 2, 100
STEPS, TIMESTEP_FS = 100, 0.5
COORDINATORS_KILLED = 5
LONGEST_ENSEMBLE_S = 3600.0
WORKER_TTL_S = 20
CHILD = "orbmm.cli.replica"

SYSTEM = f"""[system]
name = "water"
structure = "waters.pdb"
[model]
device = "cpu"
[run]
minimize_iterations = 20
platform = "Reference"
length_ps = {STEPS * TIMESTEP_FS / 1000.0}
frame_every_fs = {TIMESTEP_FS}
table_every_fs = {2 * TIMESTEP_FS}
confidence_every_fs = {4 * TIMESTEP_FS}
checkpoint_every_ps = {5 * TIMESTEP_FS / 1000.0}
"""
ENSEMBLE = f"""[ensemble]
system = "system.toml"
output = "OUTPUT"
replicas = {REPLICAS}
[scheduler]
workers = {WORKERS}
retries = {RETRIES}
"""


def start_coordinator(work: Path) -> subprocess.Popen:
    """`orbmm ensemble` in a process of its own, whose messages are kept."""
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{WORKER_TTL_S}s"}
    command = [sys.executable, "-c", "from orbmm.cli.main import main; main()", "ensemble", "ensemble.toml"]
    with (work / "coordinator.log").open("a") as log:
        return subprocess.Popen(command, cwd=work, stdout=log, stderr=log, env=environment, start_new_session=True)


def find_processes(coordinator: subprocess.Popen, kind: str) -> list[psutil.Process]:
    """The workers of a coordinator, or the processes of its runs."""
    found = []
    try:
        for worker in psutil.Process(coordinator.pid).children():
            if "resource_tracker" not in " ".join(worker.cmdline()):
                found += [worker] if kind == "worker" else [one for one in worker.children() if is_run(one)]
    except psutil.Error:  # it ended meanwhile
        return []
    return found


def is_run(process: psutil.Process) -> bool:
    """Whether a process is that of a run."""
    return CHILD in process.cmdline()


def disturb(coordinator: subprocess.Popen, kind: str, chance: random.Random) -> bool:
    """Do one harm; whether there was anything to do it to."""
    if kind == "coordinator":
        if coordinator.poll() is not None:
            return False
        coordinator.kill()
        coordinator.wait()
        return True
    processes = find_processes(coordinator, "worker" if kind in ("worker", "worker stopped") else "run")
    if not processes:
        return False
    chosen = chance.choice(processes)
    try:
        if kind == "no room":
            resource.prlimit(chosen.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        else:
            chosen.send_signal(signal.SIGSTOP if kind == "worker stopped" else signal.SIGKILL)
    except (psutil.Error, ProcessLookupError):
        return False
    return True


def plan_harms(kills: int, chance: random.Random) -> list[str]:
    """What is done in which order: the wanted number of kills, and the two harms that are done once."""
    rest = [("run", "worker")[number % 2] for number in range(kills - COORDINATORS_KILLED)]
    harms = ["coordinator"] * COORDINATORS_KILLED + rest + ["worker stopped", "no room"]
    chance.shuffle(harms)
    return harms


def run_by_hand(work: Path, seed: int) -> Path:
    """The folder of an undisturbed run."""
    folder = work / f"by-hand-{seed}"
    command = [sys.executable, "-c", "from orbmm.cli.main import main; main()", "run", "system.toml"]
    options = ["--seed", str(seed), "--output", str(folder), "--no-analyze", "--quiet"]
    subprocess.run([*command, *options], cwd=work, check=True)
    return folder


def list_differences(folder: Path, by_hand: Path) -> list[str]:
    """What distinguishes a run from the undisturbed one; nothing, if all is well."""
    found = []
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    if len(frames) != STEPS + 1 or not np.allclose(frames.time, TIMESTEP_FS / 1000.0 * np.arange(STEPS + 1)):
        found.append(f"{len(frames)} frames, or their times are not contiguous")
    for name in ("trajectory.xtc", "confidence.dat", "topology.pdb"):
        if (folder / name).read_bytes() != (by_hand / name).read_bytes():
            found.append(f"{name} differs")
    if read_rows(folder) != read_rows(by_hand):
        found.append("energies.csv differs")
    pairs = zip(read_final_state(folder), read_final_state(by_hand), strict=True)
    if not all(np.array_equal(one, other) for one, other in pairs):
        found.append("the final state differs")
    return found


def disturb_ensemble(
    work: Path, harms: list[str], done: Counter[str], chance: random.Random, longest_wait_s: float
) -> list[str]:
    """One ensemble, with harms until it is complete; what differs from the runs by hand."""
    deadline = time.monotonic() + LONGEST_ENSEMBLE_S
    coordinator = start_coordinator(work)
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(0.2, longest_wait_s))
        if coordinator.poll() is None and harms and disturb(coordinator, harms[-1], chance):
            done[harms.pop()] += 1
        if coordinator.poll() is not None:
            if coordinator.returncode == 0:
                break
            if coordinator.returncode != -signal.SIGKILL:
                return [f"the coordinator ended with exit code {coordinator.returncode}"]
            coordinator = start_coordinator(work)
    else:
        coordinator.kill()
        return [f"not complete after {LONGEST_ENSEMBLE_S:g} s"]
    return [
        f"seed {seed}: {difference}"
        for seed in range(1, REPLICAS + 1)
        for difference in list_differences(work / "out" / "replicas" / f"seed-{seed}" / "run", work / f"by-hand-{seed}")
    ]


def count_reasons(log: Path) -> dict[str, int]:
    """How often the coordinator tried a replica again, by the first words of the reason."""
    lines = [line.split(": ", 1)[1] for line in log.read_text().splitlines() if line.endswith("; it is tried again")]
    kinds = ("SIGKILL", "its worker was lost", "no space left", "too large", "ended before its last step")
    known = [next((kind for kind in kinds if kind.lower() in line.lower()), line) for line in lines]
    return dict(sorted(Counter(known).items()))


def torment(work: Path, kills: int, seed: int, most_s: float) -> dict[str, object]:
    """Disturb ensembles until the wanted number of kills has been sent, or the time is over."""
    chance = random.Random(seed)
    write_waters(work / "waters.pdb")
    (work / "system.toml").write_text(SYSTEM)
    (work / "ensemble.toml").write_text(ENSEMBLE.replace("OUTPUT", "out"))
    started = time.monotonic()
    for number in range(1, REPLICAS + 1):
        run_by_hand(work, number)
    by_hand_s = time.monotonic() - started
    harms, done, differences, ensembles = plan_harms(kills, chance), Counter(), [], 0
    while harms and not differences and time.monotonic() < started + most_s:
        found = disturb_ensemble(work, harms, done, chance, by_hand_s / REPLICAS)
        differences += [f"ensemble {ensembles}: {one}" for one in found]
        ensembles += 1
        if not differences:
            shutil.rmtree(work / "out")
    return {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "replicas": REPLICAS,
        "workers": WORKERS,
        "steps_of_each": STEPS,
        "done": dict(sorted(done.items())),
        "left_out_for_lack_of_time": dict(sorted(Counter(harms).items())),
        "tried_again_because": count_reasons(work / "coordinator.log"),
        "ensembles_completed_and_compared": ensembles - bool(differences),
        "runs_compared": REPLICAS * (ensembles - bool(differences)),
        "seconds_of_the_runs_by_hand": round(by_hand_s, 1),
        "seconds_in_all": round(time.monotonic() - started, 1),
        "differences": differences,
    }


def main() -> int:
    """Exit code 0 where every replica came out as the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--work", type=Path, required=True, help="a new folder for the runs")
    parser.add_argument("--json", type=Path, help="file for the report, beside the screen")
    parser.add_argument("--seed", type=int, default=1, help="of times and victims")
    parser.add_argument("--max-minutes", type=float, default=1e6, help="begin no ensemble after that")
    arguments = parser.parse_args()
    if arguments.kills <= COORDINATORS_KILLED:
        parser.error(f"--kills must be above {COORDINATORS_KILLED}")
    arguments.work.mkdir(parents=True)
    report = torment(arguments.work.resolve(), arguments.kills, arguments.seed, 60.0 * arguments.max_minutes)
    text = json.dumps(report, indent=1) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(text)
    print(text, end="")
    return 1 if report["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
