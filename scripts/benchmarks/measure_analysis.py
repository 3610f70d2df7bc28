"""Time and memory of the analysis on long and large trajectories, beside plain mdtraj on the same frames.

    python scripts/benchmarks/measure_analysis.py --rmsd-frames 100000 --rdf-frames 2000 \\
        --output scripts/benchmarks/results/analysis.json

The trajectories are a protein-like chain of 5,000 atoms, and 8,333 waters in a cube at the density of water. A few
frames of each are made and repeated. Each measurement runs in a separate process, so that its peak memory is known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np

from orbmm.analysis import compute_rdf_oo, compute_rmsd
from orbmm.analysis.reading.frames import TrajectoryFile

RESIDUES, WATERS, TILE = 1250, 8333, 10
CUTOFF_NM = 1.0
PLAIN_RDF_FRAMES = 10  # read at a time
PLAIN_GROUPS = {"backbone": "backbone", "heavy_atoms": "element != H"}  # that compute_rmsd measures too


def make_chain() -> md.Trajectory:
    """A coil of 1,250 alanine backbones, 5,000 atoms, that shakes for a few frames."""
    topology = md.Topology()
    chain = topology.add_chain()
    for number in range(RESIDUES):
        residue = topology.add_residue("ALA", chain, resSeq=number + 1)
        for name in ("N", "CA", "C", "O"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    topology.create_standard_bonds()
    turn = np.arange(4 * RESIDUES)
    coil = np.stack([np.cos(0.05 * turn), np.sin(0.05 * turn), 0.001 * turn], axis=1)
    shakes = 0.02 * np.random.default_rng(0).normal(size=(TILE, len(turn), 3))
    return add_cube(md.Trajectory(coil + 4.0 + shakes, topology), 8.0)


def make_water() -> md.Trajectory:
    """8,333 waters on a lattice that is shaken, 24,999 atoms."""
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(WATERS):
        residue = topology.add_residue("HOH", chain)
        for name in ("O", "H1", "H2"):
            topology.add_atom(name, md.element.Element.getBySymbol(name[0]), residue)
    topology.create_standard_bonds()
    edge = (WATERS / 33.4) ** (1.0 / 3.0)
    side = int(np.ceil(WATERS ** (1.0 / 3.0)))
    sites = np.argwhere(np.ones((side, side, side)))[:WATERS] * edge / side
    rng = np.random.default_rng(1)
    oxygens = sites + 0.04 * rng.normal(size=(TILE, WATERS, 3))
    arms = np.array([[0.0, 0.0, 0.0], [0.0757, 0.0586, 0.0], [-0.0757, 0.0586, 0.0]])
    return add_cube(md.Trajectory((oxygens[:, :, None] + arms).reshape(TILE, -1, 3), topology), edge)


def add_cube(trajectory: md.Trajectory, edge_nm: float) -> md.Trajectory:
    """The trajectory in a cube."""
    trajectory.unitcell_vectors = np.repeat((edge_nm * np.eye(3))[None], trajectory.n_frames, axis=0)
    return trajectory


def repeat_frames(trajectory: md.Trajectory, frames: int, folder: Path) -> None:
    """Write start.pdb and the few frames as often as asked to frames.xtc, a format that may be strung together."""
    trajectory[0].save_pdb(str(folder / "start.pdb"))
    trajectory.save_xtc(str(folder / "tile.xtc"))
    tile = (folder / "tile.xtc").read_bytes()
    with (folder / "frames.xtc").open("wb") as file:
        for _ in range(frames // TILE):
            file.write(tile)


def open_frames(folder: Path) -> TrajectoryFile:
    """What `repeat_frames` wrote."""
    return TrajectoryFile(folder / "frames.xtc", md.load(str(folder / "start.pdb")).topology, periodic=True)


def measure_rmsd(folder: Path) -> float:
    """Mean RMSD [nm] by orbmm."""
    return compute_rmsd(open_frames(folder), md.load(str(folder / "start.pdb"))).number("backbone_mean") / 10.0


def measure_rmsd_plainly(folder: Path) -> float:
    """Mean RMSD [nm] by mdtraj alone, in chunks of the same size, of the same two groups, no images mended."""
    start = md.load(str(folder / "start.pdb"))
    groups = {name: start.topology.select(words) for name, words in PLAIN_GROUPS.items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    for chunk in md.iterload(str(folder / "frames.xtc"), top=start.topology, chunk=400):
        for name, atoms in groups.items():
            found[name].append(md.rmsd(chunk, start, atom_indices=atoms))
    return float(np.concatenate(found["backbone"]).mean())


def measure_rdf(folder: Path) -> float:
    """Largest value of the O-O distribution by orbmm."""
    return float(compute_rdf_oo(open_frames(folder), CUTOFF_NM).values["ratio"].max())


def measure_rdf_plainly(folder: Path) -> float:
    """Largest value of the O-O distribution by mdtraj's compute_rdf over all pairs, frame by frame."""
    topology = md.load(str(folder / "start.pdb")).topology
    oxygens = topology.select("name O")
    pairs = np.stack(np.triu_indices(len(oxygens), 1), axis=1).astype(np.int32)
    total, used = 0.0, 0
    chunks = md.iterload(str(folder / "frames.xtc"), top=topology, chunk=PLAIN_RDF_FRAMES, atom_indices=oxygens)
    for chunk in chunks:
        for frame in range(chunk.n_frames):
            total = total + md.compute_rdf(chunk[frame], pairs, r_range=(0.0, CUTOFF_NM), bin_width=0.005)[1]
        used += chunk.n_frames
    return float((total / used).max())


JOBS: dict[str, tuple[Callable[[], md.Trajectory], Callable[[Path], float]]] = {
    "rmsd": (make_chain, measure_rmsd),
    "rmsd_mdtraj": (make_chain, measure_rmsd_plainly),
    "rdf": (make_water, measure_rdf),
    "rdf_mdtraj": (make_water, measure_rdf_plainly),
}


def run_job(name: str, frames: int) -> dict[str, float]:
    """One job in a process of its own: seconds, frames a second, peak memory [MB], and the number it found."""
    make, _ = JOBS[name]
    frames = max(TILE, frames // TILE * TILE)
    with tempfile.TemporaryDirectory() as folder:
        repeat_frames(make(), frames, Path(folder))
        command = [sys.executable, __file__, "--job", name, "--folder", folder]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"frames": frames, "frames_per_s": frames / found["seconds"], **found}


def run_here(name: str, folder: Path) -> dict[str, float]:
    """The job itself; memory before it, of Python and its libraries, is stated beside the peak."""
    before = read_peak_mb()
    started = time.perf_counter()
    value = JOBS[name][1](folder)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "memory_before_mb": before, "memory_peak_mb": read_peak_mb(), "value": value}


def read_peak_mb() -> float:
    """Largest resident memory of this process so far [MB], from Linux; getrusage would count that of the parent too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024.0


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rmsd-frames", type=int, default=100_000, help="frames of 5,000 atoms (default 100000)")
    parser.add_argument("--rdf-frames", type=int, default=2_000, help="frames of 24,999 atoms (default 2000)")
    parser.add_argument("--plain-rdf-frames", type=int, default=20, help="frames for mdtraj alone, which is slow")
    parser.add_argument("--output", type=Path, default=Path("scripts/benchmarks/results/analysis.json"))
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        json.dump(run_here(arguments.job, arguments.folder), sys.stdout)
        return
    lengths = {
        "rmsd": (arguments.rmsd_frames // 10, arguments.rmsd_frames),  # ten times the frames, the same memory
        "rmsd_mdtraj": (arguments.rmsd_frames,),
        "rdf": (arguments.rdf_frames // 10, arguments.rdf_frames),
        "rdf_mdtraj": (arguments.plain_rdf_frames,),
    }
    results = {name: [run_job(name, frames) for frames in counts] for name, counts in lengths.items()}
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "threads": threads, "load": os.getloadavg()[0]}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
