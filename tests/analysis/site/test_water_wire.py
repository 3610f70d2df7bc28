"""The water wire from a metal to a histidine, laid by hand."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import add_box, wrap

from orbmm.analysis import compute_water_wire, read_structure
from orbmm.analysis.result import NothingToMeasure
from orbmm.errors import AnalysisError

STEP = np.array([0.28, 0.0, 0.0])
BOX = np.array([[3.0, 0.0, 0.0], [0.8, 3.0, 0.0], [-0.5, 0.6, 3.0]])


def lay_wire(waters: int = 3, frames: int = 1, name: str = "HIS") -> md.Trajectory:
    """Zinc, its water and `waters` more in a row, 2.8 angstrom apart, then NE2 and behind it ND1 of residue 64."""
    topology = md.Topology()
    chain = topology.add_chain()
    topology.add_atom("ZN", md.element.zinc, topology.add_residue("ZN", chain, resSeq=262))
    for number in range(waters + 1):
        topology.add_atom("O", md.element.oxygen, topology.add_residue("HOH", chain, resSeq=300 + number))
    residue = topology.add_residue(name, chain, resSeq=64)
    for atom in ("NE2", "ND1"):
        topology.add_atom(atom, md.element.nitrogen, residue)
    row = [np.array([0.2, 0.0, 0.0]) + i * STEP for i in range(waters + 2)]
    xyz = np.array([np.zeros(3), *row, row[-1] + [0.22, 0.0, 0.0]])
    return md.Trajectory(np.repeat(xyz[None], frames, axis=0), topology, time=0.1 * np.arange(frames))


def name_wire(result) -> list[str]:
    return result.values["wire_start"][:, 0].tolist()


@pytest.mark.parametrize("waters", [0, 1, 3, 8])
def test_a_wire_that_was_laid_is_found(waters: int) -> None:
    result = compute_water_wire(lay_wire(waters))
    assert result.values["waters"].tolist() == [waters] and result.number("connected") == 1.0
    assert name_wire(result) == [f"HOH{300 + i}-O" for i in range(waters + 1)] + ["HIS64-NE2"]
    assert result.values["longest_step"][0] == pytest.approx(2.8, abs=1e-4)
    assert result.values["distance"][0] == pytest.approx(2.8 * (waters + 1), abs=1e-3)


def test_a_wire_that_breaks_and_one_without_oxygen_are_told_apart() -> None:
    wire = lay_wire(3, frames=3)
    wire.xyz[1, 3] += [0.0, 1.0, 0.0]  # the second water leaves
    wire.xyz[2, 1] += [0.0, 0.0, 2.0]  # the water on zinc leaves
    result = compute_water_wire(wire)
    assert result.values["waters"].tolist() == [3, -1, -1] and result.number("connected") == pytest.approx(1 / 3)
    assert np.isfinite(result.values["distance"]).tolist() == [True, True, False]
    assert len(result.values["wire_end"]) == 0 and np.isnan(result.values["longest_step"][1:]).all()


def test_a_step_longer_than_a_hydrogen_bond_is_no_wire() -> None:
    wire = lay_wire(1)
    wire.xyz[0, 3:] += [0.08, 0.0, 0.0]
    assert compute_water_wire(wire).values["waters"].tolist() == [-1]


def test_fewest_waters_win_then_the_shortest_way() -> None:
    wire = lay_wire(3)
    wire.xyz[0, 4] = wire.xyz[0, 3] + [0.0, 0.15, 0.0]  # the third water lies beside the second
    wire.xyz[0, 5:] -= STEP  # and the histidine moves up: now either of them ends the wire
    result = compute_water_wire(wire)
    assert result.values["waters"].tolist() == [2] and name_wire(result)[2] == "HOH302-O"


def test_a_wire_across_the_walls_of_a_triclinic_box_is_the_same() -> None:
    wire = lay_wire(5, frames=2)
    turned = wire.xyz + np.array([2.5, 2.9, 2.9])
    torn = add_box(md.Trajectory(wrap(turned, BOX), wire.topology, time=wire.time), BOX)
    result = compute_water_wire(torn)
    assert result.values["waters"].tolist() == [5, 5]
    assert result.values["longest_step"] == pytest.approx([2.8, 2.8], abs=1e-3)
    torn.unitcell_vectors = None
    assert compute_water_wire(torn).values["waters"].tolist() == [-1, -1]


def test_the_group_may_be_another_one() -> None:
    assert compute_water_wire(lay_wire(2, name="HIE")).values["waters"].tolist() == [2]
    with pytest.raises(NothingToMeasure, match="there is no GLU 64"):
        compute_water_wire(lay_wire(2), ("GLU", 64))
    with pytest.raises(AnalysisError, match="ALA 64 takes no proton"):
        compute_water_wire(lay_wire(2), ("ALA", 64))


def test_without_a_metal_there_is_no_wire() -> None:
    wire = lay_wire(2)
    with pytest.raises(NothingToMeasure, match="there is no metal"):
        compute_water_wire(wire.atom_slice(range(1, wire.n_atoms)))


def test_the_wire_of_the_crystal_is_that_of_the_entry(shared_structures: Path) -> None:
    """Zinc's water 263, then 318 and 292 to the "in" side chain of HIS 64: the wire that is told of 2CBA."""
    result = compute_water_wire(read_structure(shared_structures / "2cba.pdb"))
    assert name_wire(result) == ["HOH263-O", "HOH318-O", "HOH292-O", "HIS64-ND1"]
