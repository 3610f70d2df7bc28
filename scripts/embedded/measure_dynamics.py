"""20 ps of Langevin dynamics of the solvated alanine dipeptide with an embedded network, judged and drawn.

    python scripts/embedded/measure_dynamics.py orb-mini-conservative-inf-xtb --run runs/long --to docs/embedded

The run folder is an ordinary one: stopped and repeated, the script resumes it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mdtraj
import numpy as np

from orbmm.analysis.analyze import analyze_recording
from orbmm.analysis.reading.run_folder import read_run_folder
from orbmm.errors import UnstableRun
from orbmm.model.inference.allocator import keep_freed_memory
from orbmm.report import figures
from orbmm.settings import override_settings, read_settings
from orbmm.simulation.progress import ignore_progress
from orbmm.simulation.run import resume_run, start_run

SYSTEM = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "system.toml"
DISCARD_PS = 2.0


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Start the run, or go on with it."""
    if (folder / "run.json").exists():
        resume_run(folder, ignore_progress)
        return
    changes = {
        "length_ps": arguments.length_ps,
        "frame_every_fs": 20.0,
        "table_every_fs": 10.0,
        "checkpoint_every_ps": 1.0,
        "minimize": arguments.minimize,
        "output": folder,
        "timestep_fs": arguments.timestep_fs,
    }
    if arguments.hydrogen_mass is not None:
        changes["hydrogen_mass_amu"] = arguments.hydrogen_mass
    if arguments.friction is not None:
        changes["friction_per_ps"] = arguments.friction
    model = {"name": arguments.model, "compile": arguments.compile}
    if arguments.fast is not None:
        model["fast"], changes["outer_steps"] = arguments.fast, arguments.outer_steps
    if arguments.seed is not None:
        changes["seed"] = arguments.seed
    start_run(override_settings(read_settings(SYSTEM), {"model": model, "run": changes}))


def name_steps(arguments: argparse.Namespace) -> str:
    """The end of the file names, for other steps than the usual ones."""
    parts = []
    if arguments.hydrogen_mass is not None or arguments.fast is not None:
        parts.append(f"-{arguments.timestep_fs:g}fs")
    if arguments.fast is not None:
        parts.append(f"-times-{arguments.outer_steps}")
    if arguments.hydrogen_mass is not None:
        parts.append(f"-{arguments.hydrogen_mass:g}amu")
    return "".join(parts)


def measure_water_angles(run: Path) -> dict[str, float]:
    """Smallest and largest H-O-H of any water in any frame [degrees], and how rarely one leaves the usual range."""
    trajectory = mdtraj.load(run / "trajectory.xtc", top=run / "topology.pdb")
    waters = [[atom.index for atom in residue.atoms] for residue in trajectory.topology.residues if residue.is_water]
    angles = np.degrees(mdtraj.compute_angles(trajectory, np.array(waters)[:, [1, 0, 2]]))
    return {
        "smallest": float(angles.min()),
        "largest": float(angles.max()),
        "share_above_140": float((angles > 140.0).mean()),
        "waters_ever_above_145": int((angles > 145.0).any(axis=0).sum()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("docs/embedded"))
    parser.add_argument("--length-ps", type=float, default=20.0)
    parser.add_argument("--seed", type=int, help="of velocities and bath; default: that of the system")
    parser.add_argument("--friction", type=float, help="1/ps; absent: the model's own")
    parser.add_argument("--timestep-fs", type=float, default=0.5)
    parser.add_argument("--hydrogen-mass", type=float, help="g/mol; absent: the usual one")
    parser.add_argument("--fast", help="direct model for multiple time steps")
    parser.add_argument("--outer-steps", type=int, default=4, help="with --fast: steps between two corrections")
    parser.add_argument("--minimize", action="store_true", help="relax the structure first")
    parser.add_argument("--compile", action="store_true", help="faster steps after minutes; needs a C++ compiler")
    arguments = parser.parse_args()
    keep_freed_memory()
    try:
        run(arguments, arguments.run.resolve())
    except UnstableRun as reason:  # that is a result too, and the verdict says so
        print(reason)
    recording = read_run_folder(arguments.run)
    analysis = analyze_recording(recording, discard_ps=DISCARD_PS)
    arguments.to.mkdir(parents=True, exist_ok=True)
    summary = {
        "model": arguments.model,
        "weights_sha256": recording.record["weights_sha256"],
        "length_ps": arguments.length_ps,
        "timestep_fs": arguments.timestep_fs,
        "hydrogen_mass_amu": arguments.hydrogen_mass,
        "fast": arguments.fast,
        "outer_steps": arguments.outer_steps if arguments.fast else None,
        "stopped": recording.stopped,  # the guard's sentence without the folders of this machine
        "discard_ps": DISCARD_PS,
        "verdict": analysis.verdict.line,
        "water_angles": measure_water_angles(arguments.run),
        "results": {name: result.summarise() for name, result in analysis.results.items()},
    }
    print(analysis.verdict.line)
    target = arguments.to / f"dynamics-{arguments.model}{name_steps(arguments)}"
    target.with_name(f"{target.name}.json").write_text(json.dumps(summary, indent=1) + "\n")
    target.mkdir(exist_ok=True)
    for name, result in analysis.results.items():
        (target / f"{name}.png").write_bytes(figures.format_figure(figures.draw_figure(result), "png"))
