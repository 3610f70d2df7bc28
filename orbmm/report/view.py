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
from orbmm.units import ANGSTROM_PER_NM

_ELEMENT_COLORS = {"C": "#777777", "N": "#0072B2", "O": "#D55E00", "S": "#E69F00", "H": "#BBBBBB"}
_METAL, _GREY = "#CC79A7", "#777777"


View = dict[str, Any]
"""places [Å], bonds (pairs of rows), colors, sizes, names, named (rows that are labelled), legend: for viewer.js."""


def build_views(start: md.Trajectory, results: Mapping[str, Result]) -> dict[str, View]:
    """What the viewer draws, by title: the whole structure and, with a metal, its site; empty for mere water.

    start: one frame of all atoms. Hydrogens of the solute are left out. Colours of the whole: RMSF of the residue where
    it was measured, from small and bright to large and dark, else the elements; metals stand out.
    """
    frame = mend_images(start[0])
    site = _drop_hydrogens(frame.topology, _choose_site(frame))
    whole = _drop_hydrogens(frame.topology, set(find_solute(frame.topology).tolist()) | set(site.tolist()))
    views = {}
    if len(whole):
        part = frame.atom_slice(whole)
        views["Structure at the start"] = _describe(part, *_choose_colors(part.topology, results))
    if len(site):
        part = frame.atom_slice(site)
        views["Metal site at the start"] = _describe(part, *_color_elements(part.topology), name_ligands=True)
    return views


def _describe(part: md.Trajectory, colors: list[str], legend: str, name_ligands: bool = False) -> View:
    places = (part.xyz[0].astype(float) - part.xyz[0].astype(float).mean(axis=0)) * ANGSTROM_PER_NM
    metals = set(find_metals(part.topology))
    ligands = _list_ligand_bonds(part)
    pairs = [(first.index, second.index) for first, second in part.topology.bonds]
    carbonyls = [(carbon, end) for carbon, ends in find_carbon_dioxide(part) for end in ends]
    bonds = {tuple(sorted(pair)) for pair in pairs + carbonyls if not metals & set(pair)} | set(ligands)
    return {
        "places": np.round(places, 2).tolist(),
        "bonds": sorted(list(pair) for pair in bonds),
        "colors": [_METAL if i in metals else color for i, color in enumerate(colors)],
        "sizes": [3.0 if i in metals else 1.0 for i in range(part.n_atoms)],
        "names": [str(atom) for atom in part.topology.atoms],
        "named": sorted(metals | ({i for pair in ligands for i in pair} if name_ligands else set())),
        "legend": legend,
    }


def _choose_site(frame: md.Trajectory) -> set[int]:
    """Metals, the residues that have an atom within their reach, and carbon dioxide."""
    topology = frame.topology
    metals = find_metals(topology)
    chosen = set(metals)
    places = frame.xyz[0].astype(float)
    for metal in metals:
        reach = REACH_NM[topology.atom(metal).element.symbol][1]
        for index in find_pairs(places[[metal]], places, None, reach).second.tolist():
            chosen |= {atom.index for atom in topology.atom(index).residue.atoms}
    if metals:
        chosen |= {index for carbon, ends in find_carbon_dioxide(frame) for index in (carbon, *ends)}
    return chosen


def _drop_hydrogens(topology: md.Topology, atoms: set[int]) -> NDArray[np.int64]:
    """Without hydrogens, but for those of water: they tell water from hydroxide."""
    kept = [i for i in atoms if topology.atom(i).element.symbol not in ("H", "D") or topology.atom(i).residue.is_water]
    return np.array(sorted(kept), dtype=np.int64)


def _list_ligand_bonds(part: md.Trajectory) -> list[tuple[int, int]]:
    """Metal and ligand of every pair within the nearer reach."""
    places, pairs = part.xyz[0].astype(float), []
    for metal in find_metals(part.topology):
        near = find_pairs(places[[metal]], places, None, REACH_NM[part.topology.atom(metal).element.symbol][0]).second
        symbols = {int(index): part.topology.atom(int(index)).element.symbol for index in near}
        pairs += [(metal, index) for index, symbol in symbols.items() if symbol in ("N", "O", "S", "Cl")]
    return [(min(pair), max(pair)) for pair in pairs]


def _choose_colors(topology: md.Topology, results: Mapping[str, Result]) -> tuple[list[str], str]:
    if "fluctuation" not in results:
        return _color_elements(topology)
    values = results["fluctuation"].values
    largest = max(float(values["rmsf"].max()), 1e-6)
    share = dict(zip(values["name"].tolist(), (values["rmsf"] / largest).tolist(), strict=True))
    palette = colormaps[COLOR_MAP]
    names = [f"{atom.residue.name}{atom.residue.resSeq}" for atom in topology.atoms]
    colors = [to_hex(palette(share[name])) if name in share else _GREY for name in names]
    return colors, f"RMS fluctuation of the residue, bright 0 to dark {largest:.2f} Å; grey: not measured"


def _color_elements(topology: md.Topology) -> tuple[list[str], str]:
    colors = [_ELEMENT_COLORS.get(atom.element.symbol, _GREY) for atom in topology.atoms]
    return colors, "carbon grey, nitrogen blue, oxygen orange, hydrogen light, metal pink"
