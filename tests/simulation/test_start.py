"""What is told about a structure before a run begins."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import StructureError
from orbmm.settings import SystemSettings
from orbmm.simulation.start import read_start
from orbmm.simulation.training_domain import warn_untrained

ATOM = "ATOM      1  {name:<3s} {residue} A   1       1.000   2.000   3.000  1.00  0.00           {element}\nEND\n"


def _make_topology(*residues: str) -> app.Topology:
    topology = app.Topology()
    chain = topology.addChain()
    for name in residues:
        topology.addAtom("C", app.element.carbon, topology.addResidue(name, chain))
    return topology


def test_residues_that_the_embedded_network_does_not_know_are_listed(caplog: pytest.LogCaptureFixture) -> None:
    warn_untrained(_make_topology("TRP", "ALA", "HOH", "ASP", "TRP"), find_record("orb-mini-conservative-inf-xtb"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "was not trained on ASP, TRP in water" in caplog.text


def test_known_residues_and_published_models_give_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    warn_untrained(_make_topology("ACE", "ALA", "NME", "HOH"), find_record("orb-mini-conservative-inf-xtb"))
    warn_untrained(_make_topology("TRP"), find_record("orb-v3-direct-inf-omat"))
    assert caplog.text == ""


def test_a_structure_without_hydrogen_or_box_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "raw.pdb"
    path.write_text(ATOM.format(name="O", residue="HOH", element="O"))
    start = read_start(SystemSettings(name="raw", structure=path))
    assert np.allclose(start.positions, [[0.1, 0.2, 0.3]])
    assert "holds no hydrogen atoms" in caplog.text
    assert "has no periodic box" in caplog.text


def test_a_solvated_box_is_read_in_silence(water_box: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = read_start(SystemSettings(name="water", structure=water_box))
    assert len(start.positions) == 45
    assert start.velocities is None
    assert caplog.text == ""


def test_names_in_an_old_encoding_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "old.pdb"
    path.write_bytes(
        "AUTHOR    MÜLLER\n".encode("latin-1") + ATOM.format(name="H", residue="HOH", element="H").encode()
    )
    assert len(read_start(SystemSettings(name="old", structure=path)).positions) == 1


@pytest.mark.parametrize("parts", [{"positions": True}, {"velocities": True}])
def test_a_state_may_lack_velocities_but_not_positions(parts: dict[str, bool], water_box: Path, tmp_path: Path) -> None:
    system = openmm.System()
    for _ in range(45):
        system.addParticle(1.0)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.ones((45, 3)))
    path = tmp_path / "state.xml"
    path.write_text(openmm.XmlSerializer.serialize(context.getState(**parts)))
    settings = SystemSettings(name="water", structure=water_box, state=path)
    if "positions" in parts:
        start = read_start(settings)
        assert (start.positions == 1.0).all()
        assert start.velocities is None
    else:
        with pytest.raises(StructureError, match="holds no positions"):
            read_start(settings)
