"""What is told about a structure before a run begins."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import PreparationError, StructureError
from orbmm.preparation.reading.read_structure import read_structure
from orbmm.preparation.reading.source import read_source
from orbmm.settings import RunSettings, Settings, SystemSettings
from orbmm.simulation.checks import warn_about
from orbmm.simulation.start.structure import read_start

ATOM = "ATOM      1  {name:<3s} {residue} A   1       1.000   2.000   3.000  1.00  0.00           {element}\nEND\n"


def _make_topology(*residues: str) -> app.Topology:
    topology = app.Topology()
    chain = topology.addChain()
    for name in residues:
        topology.addAtom("H", app.element.hydrogen, topology.addResidue(name, chain))
    topology.setPeriodicBoxVectors(np.eye(3) * unit.nanometer)
    return topology


def _tell(path: Path, topology: app.Topology, model: str) -> None:
    warn_about(Settings(SystemSettings(name="raw", structure=path)), topology, find_record(model))


def test_residues_that_the_embedded_network_does_not_know_are_listed(
    water_box: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topology = _make_topology("TRP", "ALA", "HOH", "ASP", "TRP")
    _tell(water_box, topology, "orb-mini-conservative-inf-xtb")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "was not trained on ASP, TRP in water" in caplog.text


def test_known_residues_and_published_models_give_no_warning(water_box: Path, caplog: pytest.LogCaptureFixture) -> None:
    _tell(water_box, _make_topology("ACE", "ALA", "NME", "HOH"), "orb-mini-conservative-inf-xtb")
    _tell(water_box, _make_topology("TRP"), "orb-v3-direct-inf-omat")
    assert caplog.text == ""


@pytest.mark.parametrize(("mass", "warns"), [(4.0, True), (None, False)])
def test_what_heavy_hydrogens_falsify_is_said(
    mass: float | None, warns: bool, water_box: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = SystemSettings(name="raw", structure=water_box)
    settings = Settings(system, run=RunSettings(hydrogen_mass_amu=mass))
    warn_about(settings, _make_topology("HOH"), find_record("orb-mini-conservative-inf-xtb"))
    assert ("Proton hops and the rotation of water become slower" in caplog.text) == warns


def test_a_structure_without_hydrogen_or_box_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "raw.pdb"
    path.write_text(ATOM.format(name="O", residue="HOH", element="O"))
    start = read_start(SystemSettings(name="raw", structure=path))
    assert np.allclose(start.positions, [[0.1, 0.2, 0.3]])
    assert caplog.text == ""  # nothing is told before it is sure that a run begins
    _tell(path, start.topology, "orb-mini-conservative-inf-xtb")
    assert f"{path} holds no hydrogen atoms" in caplog.text
    assert f"{path} has no periodic box" in caplog.text


def test_a_solvated_box_is_read_and_run_in_silence(water_box: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = read_start(SystemSettings(name="water", structure=water_box))
    assert len(start.positions) == 45
    assert start.velocities is None
    _tell(water_box, start.topology, "orb-mini-conservative-inf-xtb")
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


def _write_box(folder: Path, edge: float) -> SystemSettings:
    cryst1 = "CRYST1" + 3 * f"{edge:9.3f}" + "  90.00  90.00  90.00 P 1           1\n"
    path = folder / "box.pdb"
    path.write_text(cryst1 + ATOM.format(name="O", residue="HOH", element="O"))
    return SystemSettings(name="box", structure=path)


@pytest.mark.parametrize("edge", [1.0, 0.0])
def test_the_box_of_an_entry_without_a_crystal_is_none(
    edge: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = _write_box(tmp_path, edge)
    start = read_start(settings)
    assert start.topology.getPeriodicBoxVectors() is None
    _tell(settings.structure, start.topology, "orb-mini-conservative-inf-xtb")
    assert "has no periodic box (a CRYST1 of zeros or 1 Å does not count): it is run in vacuum" in caplog.text


def test_a_box_that_cannot_hold_its_atoms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StructureError, match=r"box of 1\.50 x 1\.50 x 1\.50 Å leaves 3\.4 Å³ to each of 1 atoms"
    ) as error:
        read_start(_write_box(tmp_path, 1.5))
    assert "\n" not in str(error.value)
    assert read_start(_write_box(tmp_path, 1.79)).topology.getPeriodicBoxVectors() is not None, "diamond"


def _write_words(folder: Path, *words: str, suffix: str = ".pdb") -> SystemSettings:
    """A structure file with these six words for its box."""
    path = folder / f"box{suffix}"
    if suffix == ".pdb":
        lengths, angles = "".join(f"{word:>9s}" for word in words[:3]), "".join(f"{word:>7s}" for word in words[3:])
        path.write_text(f"REMARK\nCRYST1{lengths}{angles} P 1\n" + ATOM.format(name="O", residue="HOH", element="O"))
    else:
        names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
        path.write_text(
            "data_box\n" + "".join(f"_cell.{name} {word}\n" for name, word in zip(names, words, strict=True))
        )
    return SystemSettings(name="box", structure=path)


IMPOSSIBLE = {
    "one length of 0": "0 18 18 90 90 90",
    "two lengths of 0": "18 0 0 90 90 90",
    "no number": "nan 18 18 90 90 90",
    "no length": "-18 -18 18 90 90 90",
    "no end": "18 inf 18 90 90 90",
    "no word": "18 18 18 90 90 ninety",
    "angles of 0": "18 18 18 0 0 0",
    "angles that do not close": "18 18 18 30 30 120",
    "a half turn": "18 18 18 90 90 180",
}


@pytest.mark.parametrize("words", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize(("suffix", "place"), [(".pdb", "CRYST1 in line 2"), (".cif", "_cell in line 2")])
def test_a_box_that_spans_nothing_is_refused_with_its_line(words: str, suffix: str, place: str, tmp_path: Path) -> None:
    settings = _write_words(tmp_path, *words.split(), suffix=suffix)
    with pytest.raises(StructureError, match=f"box{suffix}: {place} gives no possible box: {words};") as error:
        read_start(settings)
    assert "\n" not in str(error.value)


def test_a_box_with_slanted_sides_is_possible(tmp_path: Path) -> None:
    settings = _write_words(tmp_path, *["18", "18", "18", "60", "60", "90"])
    assert read_start(settings).topology.getPeriodicBoxVectors() is not None


TORN = {
    "no atoms": ("loop_\n_atom_sites.id\n1\n", "file; is the file complete"),
    "a short row": ("loop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2.0\n3\n", "file; is the file complete"),
    "a loop of nothing": (
        "loop_\n1 2\n",
        r"file \(line 3: Unexpected token in loop_ declaration\); is the file complete",
    ),
    "an open quote": ("'torn\n", r"file \(line 2: Unrecognized syntax element: 'torn\); is the file complete"),
}


@pytest.mark.parametrize(("text", "sentence"), TORN.values(), ids=TORN)
def test_a_torn_mmcif_file_is_answered_without_words_of_python(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "torn.cif"
    path.write_text("data_torn\n" + text)
    with pytest.raises(StructureError, match="torn.cif: no atoms can be read from this .cif " + sentence):
        read_start(SystemSettings(name="torn", structure=path))


@pytest.mark.parametrize("place", ["residue", "name"])
def test_a_name_that_would_end_a_line_of_the_topology_is_refused(place: str, tmp_path: Path) -> None:
    names = {"name": "C", "residue": "ALA"} | {place: "\n;A\nB\n;\n"}
    columns = ("group_PDB", "id", "type_symbol", "label_atom_id", "label_comp_id", "label_asym_id", "label_seq_id")
    header = "".join(f"_atom_site.{column}\n" for column in (*columns, "Cartn_x", "Cartn_y", "Cartn_z"))
    row = f"ATOM 1 C {names['name']} {names['residue']} A 1 1.0 2.0 3.0\n"
    path = tmp_path / "odd.cif"
    path.write_text(f"data_odd\nloop_\n{header}{row}#\n")
    with pytest.raises(StructureError, match=r"the name 'A\\nB' holds a control character"):
        read_start(SystemSettings(name="odd", structure=path))
    with pytest.raises(PreparationError, match=r"the name 'A\\nB' holds a control character"):
        read_structure(read_source(str(path)))


def _write_waters(numbers: list[int], hydrogens: tuple[str, str] = ("H1", "H2")) -> str:
    """Waters of these residue numbers, atom by atom."""
    lines = [
        f"HETATM{3 * at + k + 1:5d}  {name:<3s} HOH A{number:4d}    {at * 3.0:8.3f}{0.9 * k:8.3f}{0.0:8.3f}"
        f"  1.00  0.00          {name[0]:>2s}"
        for at, number in enumerate(numbers)
        for k, name in enumerate(("O", *hydrogens))
    ]
    return "\n".join([*lines, "END", ""])


LOST = {
    "one number": (_write_waters([1, 1, 1, 1]), "only 3 of the 12 atoms"),
    "one name": (_write_waters([1, 2, 3, 4], ("H", "H")), "only 8 of the 12 atoms"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_structure_whose_atoms_cannot_be_told_apart_is_refused(name: str, tmp_path: Path) -> None:
    text, message = LOST[name]
    (tmp_path / "waters.pdb").write_text(text)
    with pytest.raises(StructureError, match=f"{message} of its first model can be told apart"):
        read_start(SystemSettings(name="x", structure=tmp_path / "waters.pdb"))


def test_models_and_alternate_locations_are_no_lost_atoms(tmp_path: Path) -> None:
    whole = _write_waters([1, 2, 3, 4]).replace("END\n", "")
    twice = [f"{line[:16]}{letter}{line[17:]}" for line in whole.splitlines()[:3] for letter in "AB"]
    texts = {
        "plain": f"{whole}END\n",
        "models": f"MODEL        1\n{whole}ENDMDL\nMODEL        2\n{whole}ENDMDL\nEND\n",
        "locations": "\n".join([*twice, *whole.splitlines()[3:], "END", ""]),
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.pdb"
        path.write_text(text)
        assert len(read_start(SystemSettings(name="x", structure=path)).positions) == 12, name
    pdb = app.PDBFile(str(tmp_path / "plain.pdb"))
    with (tmp_path / "models.cif").open("w") as stream:
        app.PDBxFile.writeHeader(pdb.topology, stream)
        for model in (1, 2):
            app.PDBxFile.writeModel(pdb.topology, pdb.positions, stream, modelIndex=model)
    assert len(read_start(SystemSettings(name="x", structure=tmp_path / "models.cif")).positions) == 12
