"""Fine-tune published architectures on one small frame: time and memory of an edge, and a result for orb-models.

    python scripts/benchmarks/full_size_training.py --to scripts/benchmarks/results/full-size-training.json

orb-models writes a checkpoint of random weights. Each measurement is a process of its own: it trains on a drop of
water for a few steps, and writes the time of a step. Memory of an edge is the difference of the peaks of two drops.
Then orb-models loads the trained weights, and its energy and forces are compared with those of orbmm in float32.
--loader is the Python of an environment with another version of orb-models that loads them instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from results_file import describe_run, write_results
from safetensors.torch import load_file

from orbmm.benchmark.cases import build_water
from orbmm.benchmark.machine import read_peak_memory_mb
from orbmm.benchmark.peer_process import build_model
from orbmm.checkpoints.catalog import find_record
from orbmm.model.load import load_model
from orbmm.settings.training import (
    DataSettings,
    OptimizerSettings,
    TrainedModelSettings,
    TrainingRunSettings,
    TrainingSettings,
)
from orbmm.training.data.batches import prepare_frame
from orbmm.training.data.frames import Frame, write_frames
from orbmm.training.labels.label import label_frames
from orbmm.training.labels.labellers import make_labeller
from orbmm.training.run import run_training

MODELS = {"conservative": "orb-v3-conservative-inf-omat", "direct": "orb-v3-direct-inf-omat"}
LABELS = "orbmm:orb-mini-conservative-inf-xtb"


def make_official(kind: str) -> tuple[torch.nn.Module, object]:
    """Return the network of orb-models with random weights, and its graph function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_model({"kind": kind, "device": "cpu", "max_neighbors": 120, "has_stress": True})


def make_frame(waters: int, path: Path) -> Frame:
    """Return a drop of water with labels; it is also written to the path."""
    box = build_water(waters)
    bare = Frame(box.atomic_numbers, box.positions, None, np.zeros(3 * waters, dtype=bool), "drop")
    frames = label_frames([bare], make_labeller(LABELS), 1e6)
    write_frames(path, frames)
    return frames[0]


def measure(kind: str, waters: int, steps: int, folder: Path) -> dict[str, float | int | str]:
    """Train in this process, and return size, time of a step and memory."""
    official = folder / "official.ckpt"
    torch.save(make_official(kind)[0].state_dict(), official)
    frame = make_frame(waters, folder / "drop.npz")
    settings = TrainingSettings(
        model=TrainedModelSettings(
            name="tuned", level_of_theory="GFN1-xTB", start=MODELS[kind], weights=official, dispersion="contained"
        ),
        data=DataSettings(training=(folder / "drop.npz",), validation_share=0.0, energy_unit="eV", force_unit="eV/Å"),
        optimizer=OptimizerSettings(optimizer="adamw", steps=steps, learning_rate=2e-4, edges_per_batch=1),
        run=TrainingRunSettings(output=folder / "training", validate_every=1, save_every=steps, device="cpu"),
    )
    edges = len(prepare_frame(frame, find_record(MODELS[kind])).senders)
    before = read_peak_memory_mb(torch.device("cpu"))["host_mb"]
    ticks: list[float] = []
    trained = run_training(settings, on_row=lambda row: ticks.append(time.process_time()))
    step_s = statistics.median(np.diff(ticks))  # without the first one, which also allocates
    return {
        "model": MODELS[kind],
        "atoms": len(frame.atomic_numbers),
        "edges": edges,
        "steps": steps,
        "step_cpu_s": step_s,
        "cpu_ms_per_edge": 1000.0 * step_s / edges,
        "peak_before_mb": before,
        "peak_mb": read_peak_memory_mb(torch.device("cpu"))["host_mb"],
        "weights": str(trained.weights),
    }


def compare(kind: str, weights: Path, frame: Frame, loader: str) -> dict[str, float | str]:
    """Load the trained weights with orb-models, and return the differences of its energy and forces from ours."""
    folder = weights.parent
    torch.save(load_file(weights), folder / "trained.ckpt")
    np.savez(folder / "atoms.npz", atomic_numbers=frame.atomic_numbers, positions=frame.positions)
    files = [str(folder / name) for name in ("trained.ckpt", "atoms.npz", "answer.npz")]
    subprocess.run([loader, str(Path(__file__).with_name("load_trained.py")), kind, *files], check=True)
    theirs = np.load(folder / "answer.npz")
    ours = load_model(str(weights), device="cpu", precision="float32-highest")
    found = ours.predict(frame.atomic_numbers, frame.positions)
    return {
        "orb_models": str(theirs["version"]),
        "largest_force_ev_per_angstrom": float(np.abs(found.forces).max()),
        "force_difference_ev_per_angstrom": float(np.abs(theirs["forces"] - found.forces).max()),
        "energy_difference_ev_per_atom": abs(float(theirs["energy"].item()) - found.energy) / len(frame.atomic_numbers),
    }


def measure_kind(kind: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure both drops in processes of their own, and let orb-models load the last result."""
    rows, loaded = [], {}
    for waters in arguments.waters:
        with tempfile.TemporaryDirectory() as name:
            words = ["--one", kind, "--waters", str(waters), "--steps", str(arguments.steps), "--folder", name]
            answer = subprocess.run(
                [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            rows.append(json.loads(answer.splitlines()[-1]))
            print(rows[-1], flush=True)
            again = make_frame(waters, Path(name) / "again.npz")
            loaded = compare(kind, Path(rows[-1].pop("weights")), again, arguments.loader)
    more = rows[-1]["edges"] - rows[0]["edges"]
    slope = (rows[-1]["peak_mb"] - rows[0]["peak_mb"]) / more if more else None
    print(kind, loaded, slope, flush=True)
    return {"rows": rows, "peak_mb_per_edge": slope, "loaded": loaded}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--waters", type=int, nargs="+", default=[9, 16], help="sizes of the drops")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--loader", default=sys.executable, help="Python of an environment with orb-models")
    parser.add_argument("--to", type=Path)
    parser.add_argument("--one", choices=list(MODELS), help="measure this in this process")
    parser.add_argument("--folder", type=Path, help="files of --one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.waters[0], arguments.steps, arguments.folder)))
    else:
        about = describe_run(1)
        write_results(arguments.to, about, {kind: measure_kind(kind, arguments) for kind in arguments.kinds})
