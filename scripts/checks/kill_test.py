"""Kill a short run with the embedded network at random times, resume it, and compare it with an uninterrupted one.

    python scripts/checks/kill_test.py --kills 50 --signal KILL --work kills \\
        --json scripts/benchmarks/results/kills.json

The run relaxes, heats and produces in two stages. Each attempt is a child process that gets its signal after a random
time, also while it loads, relaxes or writes; every second signal waits after that for the next checkpoint, to meet it
half written. A run that comes to its end is compared (frames and confidence byte by byte, rows but for their speed,
final positions and velocities to the last bit), and another one begins, until the wanted number of signals has been
sent. One thread and the Reference
platform: then the network's forces repeat exactly. Prints JSON; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import platform
import random
import shutil
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: several threads do not add up in the same order

import mdtraj
import numpy as np
import torch
from openmm import app, unit

import orbmm.forces.attach  # noqa: F401 - loaded once here, so that a child needs no seconds for it
from orbmm.run_files.checkpoints import list_checkpoints
from orbmm.run_files.state_xml import read_state
from orbmm.settings import ModelSettings, RunSettings, Settings, StageSettings, SystemSettings
from orbmm.simulation.run import resume_run, start_run

WATERS = 4
HEATING_STEPS, STEPS = 20, 40
STEPS_PER_FRAME, STEPS_PER_ROW, STEPS_PER_CONFIDENCE, STEPS_PER_CHECKPOINT = 1, 2, 4, 3
TIMESTEP_FS = 0.5
SHORTEST_SECONDS = 0.02
LONGEST_AIM_SECONDS = 3.0
_FORK = multiprocessing.get_context("fork")


def write_waters(path: Path) -> None:
    """A periodic box of a few waters as solvation leaves it; the run relaxes it."""
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3pfb.xml"), numAdded=WATERS, neutralize=False)
    with path.open("w", encoding="utf-8") as stream:
        app.PDBFile.writeFile(modeller.topology, modeller.positions, stream)


def make_settings(structure: Path, output: Path) -> Settings:
    """A run that writes at nearly every step, so that many kills meet it writing."""
    run = RunSettings(
        timestep_fs=TIMESTEP_FS,
        length_ps=STEPS / 2 * TIMESTEP_FS / 1000.0,
        frame_every_fs=STEPS_PER_FRAME * TIMESTEP_FS,
        table_every_fs=STEPS_PER_ROW * TIMESTEP_FS,
        confidence_every_fs=STEPS_PER_CONFIDENCE * TIMESTEP_FS,
        checkpoint_every_ps=STEPS_PER_CHECKPOINT * TIMESTEP_FS / 1000.0,
        platform="Reference",
        output=output,
    )
    heating_ps = HEATING_STEPS * TIMESTEP_FS / 1000.0
    stages = (
        StageSettings(kind="minimise", iterations=100),
        StageSettings(kind="heat", from_temperature_kelvin=10.0, length_ps=heating_ps),
        StageSettings(kind="produce"),
        StageSettings(kind="produce", friction_per_ps=5.0),
    )
    return Settings(SystemSettings(name="water", structure=structure), ModelSettings(device="cpu"), run, stage=stages)


def attempt(settings: Settings) -> None:
    """What a child does: begin the run, or go on with it; exit code 0 also where a signal ended it in order."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    if (settings.run.output / "run.json").exists():
        resume_run(settings.run.output)
    else:
        start_run(settings)


def run_child(settings: Settings, number: signal.Signals, seconds: float | None = None, aimed: bool = False) -> bool:
    """One attempt with a signal after so many seconds, or in peace; whether the signal was sent in time.

    aimed: the signal waits a little for the child to be writing a checkpoint
    """
    child = _FORK.Process(target=attempt, args=(settings,))
    child.start()
    child.join(seconds)
    deadline = time.monotonic() + LONGEST_AIM_SECONDS
    checkpoints = settings.run.output / "checkpoints"
    while aimed and child.is_alive() and not any(checkpoints.glob(".unfinished-*")) and time.monotonic() < deadline:
        time.sleep(0.0)
    met = child.is_alive()
    if met:
        os.kill(child.pid, number)
        child.join()
    allowed = (0, -number) if met else (0,)  # SIGTERM before the run has begun ends a process as it always does
    if child.exitcode not in allowed:
        raise SystemExit(f"{settings.run.output}: the child ended with exit code {child.exitcode}")
    return met


def describe_debris(folder: Path) -> list[str]:
    """What a kill left behind that a resumed run has to mend."""
    if not (folder / "run.json").exists():
        return ["before run.json"]
    checkpoints = [each.path for each in list_checkpoints(folder / "checkpoints")]
    found = ["in a checkpoint"] if list(folder.glob("checkpoints/.unfinished-*")) else []
    found += ["in settings or topology"] if list(folder.glob(".*.partial")) else []
    if not checkpoints:
        return [*found, "before the first checkpoint"]
    sizes = json.loads((checkpoints[-1] / "checkpoint.json").read_text())["sizes"]
    if checkpoints[-1].name.startswith("equilibration"):
        found.append("before production")
    longer = [name for name, size in sizes.items() if (folder / name).stat().st_size > size]
    return found + [f"{name} beyond the checkpoint" for name in longer]


def read_final_state(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) [nm] and velocities (N, 3) [nm/ps] of the newest checkpoint, to the last bit."""
    newest = max(folder.glob("checkpoints/step-*"))
    state = read_state(newest / "state.xml")
    return state.positions, state.velocities


def read_rows(folder: Path, name: str = "energies.csv") -> list[str]:
    """The rows of a table without their speed."""
    return [line.rsplit(",", 1)[0] for line in (folder / name).read_text().splitlines()]


def list_differences(folder: Path, whole: Path) -> list[str]:
    """What distinguishes a run from the one that was left in peace; nothing, if all is well."""
    found = []
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    expected = TIMESTEP_FS / 1000.0 * STEPS_PER_FRAME * np.arange(STEPS // STEPS_PER_FRAME + 1)
    if len(frames) != len(expected) or not np.allclose(frames.time, expected):
        found.append(f"{len(frames)} frames, or their times are not contiguous")
    steps = [row.split(",")[0] for row in read_rows(folder)[1:]]
    if steps != [str(step) for step in range(0, STEPS + 1, STEPS_PER_ROW)]:
        found.append("the steps of the rows are not contiguous")
    for name in ("trajectory.xtc", "confidence.dat", "topology.pdb"):
        if (folder / name).read_bytes() != (whole / name).read_bytes():
            found.append(f"{name} differs")
    for name in ("energies.csv", "equilibration.csv"):
        if read_rows(folder, name) != read_rows(whole, name):
            found.append(f"{name} differs")
    for name, one, other in zip(
        ("positions", "velocities"), read_final_state(folder), read_final_state(whole), strict=True
    ):
        if not np.array_equal(one, other):
            found.append(f"the final {name} differ by up to {np.abs(one - other).max():.2g}")
    return found


def torment(work: Path, kills: int, number: signal.Signals, seed: int) -> dict[str, object]:
    """Send the wanted number of signals and compare every run that they hit."""
    chance = random.Random(seed)
    write_waters(work / "waters.pdb")
    whole = work / "whole"
    started = time.monotonic()
    run_child(make_settings(work / "waters.pdb", whole), number)
    longest = time.monotonic() - started
    debris: Counter[str] = Counter()
    differences: list[str] = []
    sent = runs = 0
    while sent < kills:
        settings = make_settings(work / "waters.pdb", work / f"run-{runs:03d}")
        while sent < kills and run_child(settings, number, chance.uniform(SHORTEST_SECONDS, longest), sent % 2 == 1):
            sent += 1
            debris.update(describe_debris(settings.run.output))
        run_child(settings, number)
        differences += [f"run {runs}: {difference}" for difference in list_differences(settings.run.output, whole)]
        runs += 1
        shutil.rmtree(settings.run.output)
    return {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
        "signal": number.name,
        "signals_sent": sent,
        "runs_completed_and_compared": runs,
        "steps_of_each": {"heating": HEATING_STEPS, "production": STEPS},
        "seconds_of_a_run_in_peace": round(longest, 2),
        "seconds_in_all": round(time.monotonic() - started, 1),
        "signals_that_left": dict(sorted(debris.items())),
        "differences": differences,
    }


def main() -> int:
    """Exit code 0 where every run came out as the one left in peace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--work", type=Path, required=True, help="a new folder for the runs")
    parser.add_argument("--json", type=Path, help="file for the report, beside the screen")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True)
    number = signal.Signals[f"SIG{arguments.signal}"]
    report = torment(arguments.work.resolve(), arguments.kills, number, arguments.seed)
    text = json.dumps(report, indent=1) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(text)
    print(text, end="")
    return 1 if report["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
