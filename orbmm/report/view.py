"""Build the 3-D view of the report: solute, metal and its ligands, coloured by confidence, motion or element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mdtraj as md
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from orbmm.analysis.geometry.images import find_large_molecules, make_molecules_whole
from orbmm.analysis.geometry.names import Names
from orbmm.analysis.geometry.pairs import find_pairs
from orbmm.analysis.result import Result
from orbmm.analysis.site.carbon_dioxide import find_carbon_dioxide
from orbmm.analysis.site.metal_site import REACH_NM, find_metals
from orbmm.kinds import find_solute, is_hydrogen, is_water
from orbmm.report.style import COLOR_MAP
from orbmm.units import ANGSTROM_PER_NM

_ELEMENT_COLORS = {"C": "#777777", "N": "#0072B2", "O": "#D55E00", "S": "#E69F00", "H": "#BBBBBB"}
_METAL, _GREY = "#CC79A7", "#777777"
_SCALE = [to_hex(color) for color in colormaps[COLOR_MAP](np.linspace(0.0, 1.0, 9))]


View = dict[str, Any]
"""One view, for viewer.js: positions [Å], bonds (pairs of rows), colorings, sizes, names, named (rows with
labels)."""

Coloring = dict[str, Any]
"""One colouring: name, colors (one per atom), legend, scale (colours from the smallest to the largest value, empty for
elements)."""


def build_views(start: md.Trajectory, results: Mapping[str, Result]) -> dict[str, View]:
    """Return the views, by title: the whole structure and, if there is a metal, its site; empty for pure water.

    start: one frame of all atoms. Hydrogens of the solute are left out, and small molecules of it that have more atoms
    than the large ones, as a second solvent does. The whole structure is coloured by the expected
    force error of each atom or the fluctuation of each residue if they were measured, from small and bright to large
    and dark, or by element; metals are highlighted. The site is coloured by element first.
    """
    frame = make_molecules_whole(start[0])
    site = _drop_hydrogens(frame.topology, _choose_site(frame))
    whole = _drop_hydrogens(frame.topology, _choose_structure(frame.topology) | set(site.tolist()))
    views = {}
    if len(whole):
        part = frame.atom_slice(whole)
        colorings = _list_colorings(frame.topology, whole, results)
        views["Structure at the start"] = _describe(part, colorings, _name_atoms(frame.topology, whole))
    if len(site):
        part = frame.atom_slice(site)
        colorings = _list_colorings(frame.topology, site, results)[::-1]
        names = _name_atoms(frame.topology, site)
        views["Metal site at the start"] = _describe(part, colorings, names, name_ligands=True)
    return views


def _choose_structure(topology: md.Topology) -> set[int]:
    """Return the large molecules of the solute, with its ligands and ions unless these have more atoms."""
    large, solute = set(find_large_molecules(topology).tolist()), set(find_solute(topology).tolist())
    return solute if len(solute) <= 2 * len(large) else large


def _name_atoms(topology: md.Topology, atoms: NDArray[np.int64]) -> list[str]:
    names = Names(topology)
    return [names.name_atom(index) for index in atoms.tolist()]


def _describe(part: md.Trajectory, colorings: list[Coloring], names: list[str], name_ligands: bool = False) -> View:
    positions = (part.xyz[0].astype(float) - part.xyz[0].astype(float).mean(axis=0)) * ANGSTROM_PER_NM
    metals = set(find_metals(part.topology))
    ligands = _list_ligand_bonds(part)
    pairs = [(first.index, second.index) for first, second in part.topology.bonds]
    carbonyls = [(carbon, end) for carbon, ends in find_carbon_dioxide(part) for end in ends]
    bonds = {tuple(sorted(pair)) for pair in pairs + carbonyls if not metals & set(pair)} | set(ligands)
    return {
        "positions": np.round(positions, 2).tolist(),
        "bonds": sorted(list(pair) for pair in bonds),
        "colorings": [_mark_metals(coloring, metals) for coloring in colorings],
        "sizes": [3.0 if i in metals else 1.0 for i in range(part.n_atoms)],
        "names": names,
        "named": sorted(metals | ({i for pair in ligands for i in pair} if name_ligands else set())),
    }


def _choose_site(frame: md.Trajectory) -> set[int]:
    """Return the metals, the residues with an atom within their reach, and carbon dioxide."""
    topology = frame.topology
    metals = find_metals(topology)
    chosen = set(metals)
    positions = frame.xyz[0].astype(float)
    for metal in metals:
        reach = REACH_NM[topology.atom(metal).element.symbol][1]
        for index in find_pairs(positions[[metal]], positions, None, reach).second.tolist():
            chosen |= {atom.index for atom in topology.atom(index).residue.atoms}
    if metals:
        chosen |= {index for carbon, ends in find_carbon_dioxide(frame) for index in (carbon, *ends)}
    return chosen


def _drop_hydrogens(topology: md.Topology, atoms: set[int]) -> NDArray[np.int64]:
    """Without hydrogens, but for those of water: they tell water from hydroxide."""
    kept = [i for i in atoms if not is_hydrogen(topology.atom(i)) or is_water(topology.atom(i).residue)]
    return np.array(sorted(kept), dtype=np.int64)


def _list_ligand_bonds(part: md.Trajectory) -> list[tuple[int, int]]:
    """Return the pairs of metal and ligand within the smaller reach."""
    positions, pairs = part.xyz[0].astype(float), []
    for metal in find_metals(part.topology):
        near = find_pairs(
            positions[[metal]], positions, None, REACH_NM[part.topology.atom(metal).element.symbol][0]
        ).second
        symbols = {int(index): part.topology.atom(int(index)).element.symbol for index in near}
        pairs += [(metal, index) for index, symbol in symbols.items() if symbol in ("N", "O", "S", "Cl")]
    return [(min(pair), max(pair)) for pair in pairs]


def _list_colorings(topology: md.Topology, atoms: NDArray[np.int64], results: Mapping[str, Result]) -> list[Coloring]:
    """Return the ways to colour atoms of a topology."""
    colorings = []
    if "confidence" in results:
        colorings.append(_color_confidence(results["confidence"], atoms))
    if "rmsf" in results:
        colorings.append(_color_rmsf(results["rmsf"], topology, atoms))
    return [*colorings, _color_elements(topology, atoms)]


def _color_confidence(result: Result, atoms: NDArray[np.int64]) -> Coloring:
    """Return colours by the expected force error, on the whole scale of the head, so that pages can be compared."""
    end = float(result.values["edges"][-1])
    colors = [to_hex(color) for color in colormaps[COLOR_MAP](result.values["atom_error"][atoms] / end)]
    legend = f"expected force error of the atom, 0 to {end:g} eV/Å"
    return {"name": "confidence", "colors": colors, "legend": legend, "scale": _SCALE}


def _color_rmsf(result: Result, topology: md.Topology, atoms: NDArray[np.int64]) -> Coloring:
    largest = max(float(result.values["rmsf"].max()), 1e-6)
    shares = (result.values["rmsf"] / largest).tolist()
    share = dict(zip(result.values["name"].tolist(), shares, strict=True))
    palette = colormaps[COLOR_MAP]
    called = Names(topology)
    names = [called.name_residue(topology.atom(index).residue) for index in atoms.tolist()]
    colors = [to_hex(palette(float(share[name]))) if name in share else _GREY for name in names]
    legend = f"RMS fluctuation of the residue, 0 to {largest:.2f} Å; grey: not measured"
    return {"name": "rmsf", "colors": colors, "legend": legend, "scale": _SCALE}


def _color_elements(topology: md.Topology, atoms: NDArray[np.int64]) -> Coloring:
    colors = [_ELEMENT_COLORS.get(topology.atom(index).element.symbol, _GREY) for index in atoms.tolist()]
    legend = "carbon grey, nitrogen blue, oxygen orange, sulfur yellow, hydrogen light, metal pink"
    return {"name": "element", "colors": colors, "legend": legend, "scale": []}


def _mark_metals(coloring: Coloring, metals: set[int]) -> Coloring:
    colors = [_METAL if i in metals else color for i, color in enumerate(coloring["colors"])]
    return coloring | {"colors": colors}
