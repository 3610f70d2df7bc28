"""States are read without OpenMM's deserialiser, which would make and unpickle whatever a file names."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit

from orbmm.errors import StructureError, UnsafeFile
from orbmm.run_files import state_xml
from orbmm.run_files.state_xml import DEEPEST, read_state
from orbmm.settings import SystemSettings
from orbmm.simulation.start.structure import read_start

ATOMS = 45
EVERYTHING = (
    "positions",
    "velocities",
    "forces",
    "energy",
    "parameters",
    "parameterDerivatives",
    "integratorParameters",
)


class RunCode:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def _compute_nothing(state: openmm.State) -> float:
    return 0.0


def write_poisoned_system(mark: Path, tag: str = "System", kind: str = "System", note: str = "") -> str:
    """Return the XML of a System whose PythonForce makes the folder `mark` when OpenMM deserialises it."""
    system = openmm.System()
    system.addParticle(1.0)
    system.addForce(openmm.PythonForce(_compute_nothing, {}))
    text = openmm.XmlSerializer.serialize(system)
    text = re.sub(r'function="[0-9a-f]*"', f'function="{pickle.dumps(RunCode(mark)).hex()}"', text)
    text = re.sub(r'<System (.*) type="System"', rf'<{tag} {note}\1 type="{kind}"', text)
    return text.replace("</System>", f"</{tag}>")


@pytest.fixture
def context() -> openmm.Context:
    """A Context of some atoms with a global parameter and a triclinic box, moved for a few steps."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors([3, 0, 0], [0.5, 3, 0], [0.25, 0.75, 3])
    force = openmm.CustomBondForce("depth*r")
    force.addGlobalParameter("depth", 1.5)
    force.addEnergyParameterDerivative("depth")
    for _ in range(ATOMS):
        system.addParticle(12.0)
    force.addBond(0, 1, [])
    system.addForce(force)
    context = openmm.Context(
        system, openmm.LangevinMiddleIntegrator(300, 1, 0.001), openmm.Platform.getPlatform("Reference")
    )
    context.setPositions(np.random.default_rng(1).normal(size=(ATOMS, 3)))
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(3)
    return context


def test_a_state_is_read_to_the_last_bit(context: openmm.Context, tmp_path: Path) -> None:
    state = context.getState(**dict.fromkeys(EVERYTHING, True))
    path = tmp_path / "state.xml"
    path.write_text(openmm.XmlSerializer.serialize(state))
    read = read_state(path)
    assert read.step == 3
    assert read.time_ps == state.getTime().value_in_unit(unit.picosecond)
    assert np.array_equal(read.positions, state.getPositions(asNumpy=True)._value)
    assert np.array_equal(read.velocities, state.getVelocities(asNumpy=True)._value)
    assert np.array_equal(read.box, state.getPeriodicBoxVectors(asNumpy=True)._value)
    assert dict(read.parameters) == {"depth": 1.5}


def test_a_state_of_openmm_8_5_is_read(repository: Path) -> None:
    path = repository / "systems" / "alanine-dipeptide" / "equilibrated.xml"
    assert 'openmmVersion="8.5' in path.read_text()[:200]
    expected = openmm.XmlSerializer.deserialize(path.read_text())
    read = read_state(path)
    assert np.array_equal(read.positions, expected.getPositions(asNumpy=True)._value)
    assert np.array_equal(read.velocities, expected.getVelocities(asNumpy=True)._value)
    assert read.step == expected.getStepCount() > 0


DISGUISES = {
    "the system itself": {},
    "the word State in an attribute": {"note": 'note="&lt;State" '},
    "the tag of a State": {"tag": "State"},
    "the type of a State": {"kind": "State"},
    "a force": {"tag": "Force", "kind": "PythonForce"},
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_a_system_is_refused_and_runs_nothing(disguise: dict[str, str], repository: Path, tmp_path: Path) -> None:
    structure = repository / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
    mark, path = tmp_path / "it-ran", tmp_path / "state.xml"
    path.write_text(write_poisoned_system(mark, **disguise))
    with pytest.raises(StructureError, match="is not the XML of an OpenMM State") as refusal:
        read_start(SystemSettings(name="peptide", structure=structure, state=path))
    assert "\n" not in str(refusal.value)
    assert not mark.exists()


def test_the_poisoned_system_would_run_code_in_openmm(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    openmm.XmlSerializer.deserialize(write_poisoned_system(mark))
    assert mark.exists()


def test_a_system_inside_a_state_runs_nothing(tmp_path: Path) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "state.xml"
    inner = write_poisoned_system(mark).split("?>", 1)[1]
    path.write_text(f'<State type="State"><Positions><Position x="1" y="2" z="3"/></Positions>{inner}</State>')
    assert np.array_equal(read_state(path).positions, [[1.0, 2.0, 3.0]])
    assert not mark.exists()


ROW = '<Position x="0" y="0" z="0"/>'
NO_STATES = {
    "an entity": '<!DOCTYPE State [<!ENTITY a "aaaa">]><State><Positions>&a;</Positions></State>',
    "an external entity": '<!DOCTYPE State [<!ENTITY a SYSTEM "file:///etc/hostname">]><State>&a;</State>',
    "an undefined entity": "<State>&nothing;</State>",
    "deep elements": "<State>" + "<a>" * DEEPEST + "</a>" * DEEPEST + "</State>",
    "very deep elements": "<State>" + "<a>" * 1_000_000,
    "two roots": f"<State><Positions>{ROW}</Positions></State><System/>",
    "two lists of positions": f"<State><Positions>{ROW}</Positions><Positions>{ROW}</Positions></State>",
    "no number": '<State><Positions><Position x="0" y="0" z="a"/></Positions></State>',
    "not a finite number": '<State><Positions><Position x="0" y="0" z="nan"/></Positions></State>',
    "a coordinate missing": '<State><Positions><Position x="0" y="0"/></Positions></State>',
    "two vectors of a box": (
        '<State><PeriodicBoxVectors><A x="1" y="0" z="0"/><B x="0" y="1" z="0"/></PeriodicBoxVectors></State>'
    ),
    "an endless step count": f'<State stepCount="{"9" * 10_000}"/>',
    "text": "ATOM      1  O   HOH",
    "nothing": "",
    "an unknown encoding": '<?xml version="1.0" encoding="none-such"?><State/>',
    "a zero byte": "<State>\0</State>",
}


@pytest.mark.parametrize("text", NO_STATES.values(), ids=NO_STATES.keys())
def test_what_is_no_state_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.xml"
    path.write_text(text)
    with pytest.raises(StructureError, match="is not the XML of an OpenMM State") as refusal:
        read_state(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300 + len(str(path))


def test_a_state_in_another_encoding_is_a_state(context: openmm.Context, tmp_path: Path) -> None:
    text = openmm.XmlSerializer.serialize(context.getState(positions=True))
    path = tmp_path / "state.xml"
    path.write_bytes(text.replace("?>", ' encoding="utf-16"?>', 1).encode("utf-16"))
    assert len(read_state(path).positions) == ATOMS


def test_elements_may_be_as_deep_as_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "state.xml"
    path.write_text("<State>" + "<a>" * (DEEPEST - 1) + "</a>" * (DEEPEST - 1) + "</State>")
    assert read_state(path).positions is None


@pytest.mark.parametrize("bytes_too_few", [0, 1])
def test_a_file_that_is_too_large_is_not_parsed(
    bytes_too_few: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.xml"
    path.write_text("<State/>")
    monkeypatch.setattr(state_xml, "LARGEST_BYTES", 8 - bytes_too_few)
    if bytes_too_few:
        with pytest.raises(UnsafeFile, match="holds more than 7 bytes"):
            read_state(path)
    else:
        assert read_state(path).positions is None


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "state.xml"
    os.mkfifo(path)
    with pytest.raises(UnsafeFile, match="is not a regular file"):
        read_state(path)
