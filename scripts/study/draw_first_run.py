"""Draw the picture of README and docs/: the example run's structure, RMSD and temperature.

orbmm run systems/alanine-dipeptide/system.toml
python scripts/study/draw_first_run.py runs/alanine-dipeptide docs/pictures/alanine-dipeptide.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import mdtraj
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = {"C": "#333333", "N": BLUE, "O": ORANGE, "H": "#9a9a9a"}


def main(run: Path, picture: Path) -> None:
    """Read a run folder with its analysis, and write the picture."""
    figure = Figure(figsize=(10.0, 3.2), layout="constrained")
    structure, rmsd, temperature = figure.subplots(1, 3, width_ratios=(1.0, 1.15, 1.15))
    draw_structure(structure, mdtraj.load(run / "trajectory.xtc", top=run / "topology.pdb")[-1])
    draw_lines(rmsd, run / "analysis" / "rmsd.csv", "RMSD to the start / Å")
    table = np.genfromtxt(run / "energies.csv", delimiter=",", names=True)
    temperature.plot(table["time_ps"], table["temperature_K"], color=BLUE)
    temperature.axhline(300.0, color="#333333", linestyle=":", label="thermostat")
    temperature.set_ylabel("temperature / K")
    for panel in (rmsd, temperature):
        panel.set_xlabel("time / ps")
        panel.legend(frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)


def draw_lines(panel: Axes, path: Path, label: str) -> None:
    """Plot each column of a table of the analysis over its first column, time."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    time, *groups = table.dtype.names
    for group, colour in zip(groups, (BLUE, ORANGE, "#009E73"), strict=False):
        panel.plot(table[time], table[group], color=colour, label=group.removesuffix("_angstrom").replace("_", " "))
    panel.set_ylabel(label)


def draw_structure(panel: Axes, frame: mdtraj.Trajectory) -> None:
    """Draw the peptide as balls and sticks in front of pale water, seen along its shortest axis."""
    frame = frame.image_molecules()
    solute = frame.topology.select("not water")
    positions = frame.xyz[0] - frame.xyz[0][solute].mean(axis=0)  # nm
    positions = positions @ np.linalg.svd(positions[solute], full_matrices=False)[2].T
    peptide = set(solute)
    for one, other in frame.topology.bonds:
        inside = one.index in peptide
        ends = positions[[one.index, other.index]]
        panel.plot(
            ends[:, 0],
            ends[:, 1],
            color="#444444" if inside else "#c9dbe8",
            linewidth=3.0 if inside else 1.5,
            zorder=3 if inside else 1,
        )
    for atom in frame.topology.atoms:
        if atom.index in peptide:
            size = 40 if atom.element.symbol == "H" else 130
            panel.scatter(*positions[atom.index, :2], s=size, color=COLOURS[atom.element.symbol], zorder=4)
    panel.set_aspect("equal")
    panel.set_xlim(-0.85, 0.85)
    panel.set_ylim(-0.75, 0.75)
    panel.axis("off")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
