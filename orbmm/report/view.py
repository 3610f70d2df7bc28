"""What the 3-D view of the report shows: solute, metal and its ligands, coloured by how much each residue moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mdtraj as md
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from orbmm.analysis.carbon_dioxide import find_carbon_dioxide
from orbmm.analysis.images import find_solute, mend_images
from orbmm.analysis.metal_site import REACH_NM, find_metals
from orbmm.analysis.periodic_pairs import find_pairs
from orbmm.analysis.result import Result
from orbmm.report.style import COLOR_MAP

_ELEMENT_COLORS = {"C": "#777777", "N": "#0072B2", "O": "#D55E00", "S": "#E69F00"}
_METAL, _GREY = "#CC79A7", "#777777"


def build_view(start: md.Trajectory, results: Mapping[str, Result]) -> dict[str, Any] | None:
    """Places [Å], bonds, colours and names for the viewer; None when there is nothing but water.

    start: one frame of all atoms. Hydrogens on carbon are left out. Colours: RMSF of the residue where it was measured,
    bright and small to dark and large, else the elements; metals stand out.
    """
    frame = mend_images(start[0])
    atoms = _choose_atoms(frame)
    if len(atoms) == 0:
        return None
    whole = frame.atom_slice(atoms)
    places = (whole.xyz[0].astype(float) - whole.xyz[0].astype(float).mean(axis=0)) * 10.0
    metals = set(find_metals(whole.topology))
    ligands = _list_ligand_bonds(whole)
    pairs = [(first.index, second.index) for first, second in whole.topology.bonds]
    pairs = [pair for pair in pairs if not metals & set(pair)] + ligands
    colors, legend = _choose_colors(whole.topology, results)
    return {
        "places": np.round(places, 2).tolist(),
        "bonds": [list(pair) for pair in pairs],
        "colors": colors,
        "sizes": [3.0 if atom.index in metals else 1.0 for atom in whole.topology.atoms],
        "names": [str(atom) for atom in whole.topology.atoms],
        "named": sorted(metals | {second for _, second in ligands}),
        "legend": legend,
    }


def _choose_atoms(frame: md.Trajectory) -> NDArray[np.int64]:
    """Solute without hydrogens, metals with the residues within their reach, carbon dioxide."""
    topology = frame.topology
    chosen = set(find_solute(topology).tolist()) | set(find_metals(topology))
    for metal in find_metals(topology):
        reach = REACH_NM[topology.atom(metal).element.symbol][1]
        places = frame.xyz[0].astype(float)
        found = find_pairs(places[[metal]], places, None, reach)
        for index in found.second.tolist():
            chosen |= {atom.index for atom in topology.atom(index).residue.atoms}
    chosen |= {index for carbon, ends in find_carbon_dioxide(frame) for index in (carbon, *ends)}
    bare = [i for i in chosen if topology.atom(i).element.symbol not in ("H", "D") or topology.atom(i).residue.is_water]
    return np.array(sorted(bare), dtype=np.int64)


def _list_ligand_bonds(frame: md.Trajectory) -> list[tuple[int, int]]:
    """Metal and ligand of every pair within the nearer reach."""
    places, pairs = frame.xyz[0].astype(float), []
    for metal in find_metals(frame.topology):
        near = find_pairs(places[[metal]], places, None, REACH_NM[frame.topology.atom(metal).element.symbol][0]).second
        symbols = {int(index): frame.topology.atom(int(index)).element.symbol for index in near}
        pairs += [(metal, index) for index, symbol in symbols.items() if symbol in ("N", "O", "S", "Cl")]
    return pairs


def _choose_colors(topology: md.Topology, results: Mapping[str, Result]) -> tuple[list[str], str]:
    if "fluctuation" not in results:
        colors = [_ELEMENT_COLORS.get(atom.element.symbol, _GREY) for atom in topology.atoms]
        legend = "carbon grey, nitrogen blue, oxygen orange"
    else:
        values = results["fluctuation"].values
        largest = max(float(values["rmsf"].max()), 1e-6)
        share = dict(zip(values["name"].tolist(), (values["rmsf"] / largest).tolist(), strict=True))
        palette = colormaps[COLOR_MAP]
        names = [f"{atom.residue.name}{atom.residue.resSeq}" for atom in topology.atoms]
        colors = [to_hex(palette(share[name])) if name in share else _GREY for name in names]
        legend = f"RMS fluctuation of the residue, bright 0 to dark {largest:.2f} Å; grey: not measured"
    metals = set(find_metals(topology))
    return [_METAL if i in metals else color for i, color in enumerate(colors)], legend
