"""Draw what a run of a protein came to: the backbone with its expected error, its RMSD, the temperature, the metal.

    python scripts/study/draw_protein.py runs/chignolin docs/proteins/chignolin.png

The run must have been analysed (`orbmm analyze RUN`). In the first panel the backbone of the last frame lies over that
of the first; its colour is the expected force error of each residue.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mdtraj
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from orbmm.analysis import Result, read_result
from orbmm.report.style import COLOR_MAP, FAINT, LIMIT, LINES, add_legend_above, name_axes

SHAPES = ("backbone", "heavy_atoms", "binding_site")
ION_SIZES = {"Zn": 130, "Na": 45, "Cl": 45}
MOST_IONS = 6  # more would hide the backbone; then only zinc is drawn
MARGIN = 3.0  # Å around the backbone
LEGEND_COLUMNS = 4


def read_errors(analysis: Path, frame: mdtraj.Trajectory) -> dict[int, float]:
    """Return the mean expected force error of each residue [eV/Å]."""
    errors = read_result(analysis / "confidence.npz").values["atom_error"]  # (N,)
    return {
        residue.index: float(errors[[atom.index for atom in residue.atoms]].mean())
        for residue in frame.topology.residues
    }


def draw_structure(panel: Axes, analysis: Path, trajectory: mdtraj.Trajectory) -> None:
    """Draw the alpha carbons of the first and last frame along their shortest axis, and the ions near them."""
    alphas = trajectory.topology.select("name CA and protein")
    whole = trajectory[[0, -1]].image_molecules().superpose(trajectory[0], atom_indices=alphas)
    errors = read_errors(analysis, trajectory)
    center = whole.xyz[0, alphas].mean(axis=0)
    axes = np.linalg.svd(whole.xyz[0, alphas] - center, full_matrices=False)[2]
    first, last = 10 * (whole.xyz - center) @ axes.T  # Å
    panel.plot(*first[alphas, :2].T, **FAINT, linewidth=2, zorder=1)
    points = last[alphas, :2]
    lines = LineCollection(np.stack([points[:-1], points[1:]], axis=1), cmap=COLOR_MAP, linewidths=3, zorder=2)
    colours = [1000 * errors[trajectory.topology.atom(alpha).residue.index] for alpha in alphas]
    lines.set_array(np.convolve(colours, [0.5, 0.5], mode="valid"))
    panel.add_collection(lines)
    reach = np.abs(first[alphas, :2]).max() + MARGIN
    found = [atom for atom in trajectory.topology.atoms if atom.element.symbol in ION_SIZES]
    for atom in found:
        if (len(found) <= MOST_IONS or atom.element.symbol == "Zn") and np.abs(last[atom.index, :2]).max() < reach:
            panel.scatter(*last[atom.index, :2], s=ION_SIZES[atom.element.symbol], color="#7f3b08", zorder=3)
            panel.annotate(atom.element.symbol, last[atom.index, :2], (5, 5), textcoords="offset points", fontsize=8)
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    panel.axis("off")
    bar = panel.figure.colorbar(lines, ax=panel, location="bottom", shrink=0.7, aspect=30, pad=0.02)
    bar.set_label("expected force error of a residue / (meV/Å)", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def draw_columns(panel: Axes, result: Result, names: list[str], label: str) -> None:
    """Draw columns of a result along time."""
    for name, style in zip(names, LINES, strict=False):
        panel.plot(
            result.values["time"],
            result.values[name],
            **style,
            linewidth=1.3,
            label=name.removeprefix("distance_").replace("_", " "),
        )
    name_axes(panel, "time / ps", label)
    add_legend_above(panel, LEGEND_COLUMNS)


def draw(run: Path, picture: Path) -> None:
    """Read a run folder with its analysis, and write the picture."""
    analysis = run / "analysis"
    trajectory = mdtraj.load(run / "trajectory.xtc", top=run / "topology.pdb")
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    structure, shape, heat, last = figure.subplots(2, 2).ravel()
    draw_structure(structure, analysis, trajectory)
    rmsd, temperature = (read_result(analysis / f"{name}.npz") for name in ("rmsd", "temperature"))
    draw_columns(shape, rmsd, [name for name in SHAPES if name in rmsd.values], "RMSD to the start / Å")
    draw_columns(heat, temperature, ["temperature"], "temperature / K")
    heat.axhline(temperature.number("bath"), **LIMIT)
    site = analysis / "metal_site.npz"
    if site.exists():
        metal = read_result(site)
        near = [name for name, unit in metal.units.items() if unit == "angstrom" and not name.endswith("_mean")]
        draw_columns(last, metal, near, "distance to the metal / Å")
    else:
        bonds = read_result(analysis / "hydrogen_bonds.npz")
        draw_columns(last, bonds, ["solute_solute", "solute_water"], "hydrogen bonds")
    for panel in (shape, heat, last):
        panel.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    draw(arguments.run, arguments.picture)
