"""Compare a student of a network with the same student of quantum chemistry, and the costs of their labels.

    python scripts/study/distillation.py --frames pool.npz --held-out held_out.npz --work work --to docs/training

The same frames are labelled by the teacher and by GFN1-xTB. The same student learns from each, and both are compared
with GFN1-xTB on held-out frames (labelled by `orbmm label`). The cost of labels is CPU time on boxes with a cell. Then
each student of the network runs the alanine dipeptide of the systems folder under the guard, at the friction of its
record. The JSON has the hashes of all networks. Stopped and repeated, the command goes on. With --report it trains
nothing, and adds the last errors that both students of a start have in common to the JSON that is there. With
--rollout-only it only runs the students that are there, or goes on with them, and adds what it saw.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import UnstableRun
from orbmm.files import hash_file
from orbmm.run_files.energies import read_energy_table
from orbmm.run_files.layout import RunFolder
from orbmm.settings import ModelSettings, override_settings, read_settings
from orbmm.settings.training import (
    DataSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.simulation.run import resume_run, start_run
from orbmm.training.data.frames import Frame, read_frames, write_frames
from orbmm.training.labels.label import label_file
from orbmm.training.labels.labellers import make_labeller
from orbmm.training.run import run_training
from orbmm.training.steps.state import FILE

TEACHER = "orb-mini-conservative-inf-xtb"
LABELS = {"teacher": f"orbmm:{TEACHER}", "GFN1-xTB": "tblite:GFN1-xTB"}
FORCES = "forces_mev_per_angstrom"
STUDENT = "orb-mini-direct-inf-xtb"
SYSTEM = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "system.toml"


def label_alike(arguments: argparse.Namespace) -> dict[str, Path]:
    """Return the labelled frames by who labelled them: the same structures in the same order."""
    paths = {name: arguments.work / f"{name}.npz" for name in LABELS}
    for name, path in paths.items():
        if not path.exists():
            label_file(read_frames(arguments.frames), path, LABELS[name])
    found = {name: {f.positions.tobytes(): f for f in read_frames(path)} for name, path in paths.items()}
    shared = [key for key in found["teacher"] if key in found["GFN1-xTB"]]
    for name, frames in found.items():
        paths[name] = arguments.work / f"{name}-shared.npz"
        write_frames(paths[name], [frames[key] for key in shared])
    return paths


def measure_cost(frames: list[Frame], calculator: str) -> float:
    """Return the CPU time of one label [s], of boxes; the first one is left out."""
    labeller = make_labeller(calculator)
    labeller(frames[0])
    begin = time.process_time()
    for frame in frames:
        labeller(frame)
    return (time.process_time() - begin) / len(frames)


@dataclass(frozen=True)
class Arm:
    """One trained student. errors: to GFN1-xTB on the held-out frames, before and after"""

    errors: dict[str, dict]
    weights: Path


def train_arm(arguments: argparse.Namespace, path: Path, name: str, start: str) -> Arm:
    """Train one student, or go on with it."""
    folder = arguments.work / f"{name}-{start}"
    scratch = start == "random"
    settings = TrainingSettings(
        model=TrainedModelSettings(
            name="student", level_of_theory="GFN1-xTB", start=STUDENT, from_scratch=scratch, dispersion="contained"
        ),
        data=DataSettings(training=(path,), validation=(arguments.held_out,), energy_unit="eV", force_unit="eV/Å"),
        optimizer=OptimizerSettings(
            steps=arguments.random_steps if scratch else arguments.steps, learning_rate=5e-3 if scratch else 1e-3
        ),
        run=TrainingRunSettings(output=folder, validate_every=500),
    )
    trained = run_training(settings, resume=(folder / FILE).exists())
    errors = {"before": asdict(trained.before["all"]), "after": asdict(trained.after["all"])}
    return Arm(errors, trained.weights)


def report(arguments: argparse.Namespace) -> None:
    """Add the errors of unfinished trainings to the JSON, at the last step that both students have reached."""
    result = json.loads((arguments.to / "distillation.json").read_text("utf-8"))
    if result["frames_sha256"] != hash_file(arguments.frames):
        raise SystemExit(f"{arguments.to} is of other frames than {arguments.frames}: run without --report")
    for start in arguments.starts:
        rows = {}
        for name in LABELS:
            with (arguments.work / f"{name}-{start}" / "history.csv").open(encoding="utf-8") as stream:
                rows[name] = {float(row["step"]): float(row[FORCES]) for row in csv.DictReader(stream)}
        step = max(set.intersection(*map(set, rows.values())))
        teacher, chemistry = (rows[name][step] for name in LABELS)
        planned = arguments.random_steps if start == "random" else arguments.steps
        result[start] = {
            "planned_steps": planned,
            "step": step,
            **{name: {FORCES: rows[name][step]} for name in LABELS},
            "factor": teacher / chemistry,
            "rollout": None,
        }
        result["steps"][start] = planned
        print(start, f"{teacher:.1f} and {chemistry:.1f} meV/Å at step {step:.0f} of {planned}")
    write(result | hash_networks(), arguments.to)


def hash_networks() -> dict[str, str]:
    """Return the sha256 of the weights of the teacher, and of those that a student begins with."""
    return {
        "teacher_sha256": locate_weights(resolve_record(TEACHER)).sha256,
        "student_sha256": locate_weights(resolve_record(STUDENT)).sha256,
    }


def roll_out(arguments: argparse.Namespace, weights: Path, start: str) -> dict:
    """Return how long the student's dynamics stays within the guard, and its temperature in the second half."""
    settings = replace(read_settings(SYSTEM), model=ModelSettings(name="orbmm", weights=weights.resolve()))
    output = (arguments.work / f"rollout-{start}").resolve()
    changes = {"run": {"output": output, "length_ps": arguments.rollout_ps, "frame_every_fs": 100.0}}
    settings = override_settings(settings, changes)
    instability = None
    try:
        resume_run(output) if RunFolder(output).record.exists() else start_run(settings)
    except UnstableRun as error:
        instability = str(error)
    length_ps = read_settings(RunFolder(output).settings).run.length_ps  # a run that is resumed keeps its own
    return describe_rollout(RunFolder(output), length_ps, weights) | {"instability": instability}


def describe_rollout(folder: RunFolder, length_ps: float, weights: Path) -> dict:
    """Return how far a run came, and its temperature in the second half of that."""
    table = read_energy_table(folder.table, growing=True)
    half = table.temperature[table.time_ps >= 0.5 * table.time_ps[-1]]
    return {
        "length_ps": length_ps,
        "reached_ps": float(table.time_ps[-1]),
        "temperature_kelvin": float(half.mean()),
        "temperature_deviation_kelvin": float(half.std()),
        "highest_temperature_kelvin": float(table.temperature.max()),
        "weights_sha256": hash_file(weights),
    }


def roll_out_only(arguments: argparse.Namespace) -> None:
    """Run the students that are there, and add what was seen to the JSON that is there."""
    path = arguments.to / "distillation.json"
    for start in arguments.starts:
        weights = arguments.work / f"teacher-{start}" / "student.safetensors"
        seen = roll_out(arguments, weights, start)
        result = json.loads(path.read_text(encoding="utf-8"))
        result[start]["rollout"] = seen
        write(result, arguments.to)
        print(start, seen)


def main(arguments: argparse.Namespace) -> None:
    """Label, train, run, and write the JSON."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    paths = label_alike(arguments)
    boxes = [frame for frame in read_frames(arguments.frames) if frame.cell is not None]
    boxes = boxes[:: max(1, len(boxes) // arguments.boxes)][: arguments.boxes]
    cost = {name: measure_cost(boxes, calculator) for name, calculator in LABELS.items()}
    result = {
        **hash_networks(),
        "frames": len(read_frames(paths["teacher"])),
        "frames_sha256": hash_file(arguments.frames),
        "held_out": len(read_frames(arguments.held_out)),
        "steps": {"shipped": arguments.steps, "random": arguments.random_steps},
        "label_cpu_seconds": cost,
        "cost_ratio": cost["GFN1-xTB"] / cost["teacher"],
        "boxes": {"count": len(boxes), "atoms": float(np.mean([len(box.atomic_numbers) for box in boxes]))},
    }
    students = {}
    for start in arguments.starts:
        arms = {name: train_arm(arguments, path, name, start) for name, path in paths.items()}
        teacher, chemistry = (arms[name].errors["after"][FORCES] for name in LABELS)
        trained = {name: arm.errors | {"weights_sha256": hash_file(arm.weights)} for name, arm in arms.items()}
        result[start] = trained | {"factor": teacher / chemistry}
        print(start, f"{teacher:.1f} and {chemistry:.1f} meV/Å, factor {teacher / chemistry:.3f}", flush=True)
        write(result, arguments.to)
        students[start] = arms["teacher"].weights
    for start, weights in students.items():
        result[start]["rollout"] = roll_out(arguments, weights, start)
        write(result, arguments.to)


def write(result: dict, folder: Path) -> None:
    """Write what is measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "distillation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="structures to label, .npz")
    parser.add_argument("--held-out", type=Path, required=True, help="frames with labels of GFN1-xTB, .npz")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--starts", nargs="+", default=["shipped", "random"], choices=["shipped", "random"])
    parser.add_argument("--steps", type=int, default=600, help="of a student that begins with the shipped weights")
    parser.add_argument("--random-steps", type=int, default=2000)
    parser.add_argument("--boxes", type=int, default=24, help="how many boxes the cost is measured on")
    parser.add_argument("--rollout-ps", type=float, default=20.0)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser.add_argument("--report", action="store_true", help="report on trainings that are not finished")
    parser.add_argument("--rollout-only", action="store_true", help="only run the students that are there")
    chosen = parser.parse_args()
    task = report if chosen.report else roll_out_only if chosen.rollout_only else main
    task(chosen)
