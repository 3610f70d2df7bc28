"""Of several models the first is read, whatever the others hold; marks of an encoding lose no atom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import unit
from oracles.peptide_lines import build_peptide, format_cif, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

BuildSolute = Callable[..., Solute]
FIRST = format_lines(build_peptide(["ALA", "ALA", "ALA"]))
LATER = format_lines([(n, r, a, place + 5.0) for n, r, a, place in build_peptide(["ALA", "ALA", "GLY", "ALA"])])


def read_places(solute: Solute) -> np.ndarray:
    return np.array(solute.modeller.positions.value_in_unit(unit.angstrom))


@pytest.fixture
def alone(build: BuildSolute) -> Solute:
    return build(FIRST)


def test_a_later_pdb_model_may_differ(alone: Solute, build: BuildSolute) -> None:
    solute = build(["MODEL        1", *FIRST, "TER", "ENDMDL", "MODEL        2", *LATER, "TER", "ENDMDL"])
    assert solute.repairs.models == 2
    assert np.array_equal(read_places(solute), read_places(alone))


def test_a_later_mmcif_model_may_differ(alone: Solute, build: BuildSolute) -> None:
    later = [f"{row[:-1]}2" for row in format_cif(LATER, "A").splitlines() if row.startswith("ATOM")]
    solute = build("\n".join([format_cif(FIRST, "A").rstrip("\n#"), *later, "#", ""]))
    assert solute.repairs.models == 2
    assert np.array_equal(read_places(solute), read_places(alone))


def test_models_that_agree_are_counted_as_before(build: BuildSolute) -> None:
    models = [line for n in (1, 2, 3) for line in (f"MODEL     {n:4d}", *FIRST, "ENDMDL")]
    assert build(models).repairs.models == 3


def test_a_model_without_a_readable_number_is_read(alone: Solute, build: BuildSolute) -> None:
    solute = build(["MODEL    first", *FIRST, "ENDMDL"])
    assert np.array_equal(read_places(solute), read_places(alone))


ENCODINGS = {
    "byte-order mark": "\ufeff{}".encode(),
    "UTF-16": "{}".encode("utf-16"),
    "Latin-1": "REMARK   1 M\xdcLLER\n{}".encode("latin-1"),
    "UTF-8": "REMARK   1 M\xdcLLER\n{}".encode(),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_loses_no_atom(name: str, alone: Solute, tmp_path: Path) -> None:
    encoding = {"UTF-16": "utf-16-le", "Latin-1": "latin-1"}.get(name, "utf-8")
    content = ENCODINGS[name].replace("{}".encode(encoding), "\n".join([*FIRST, "END", ""]).encode(encoding))
    (tmp_path / "encoded.pdb").write_bytes(content)
    solute = build_solute(SystemSettings(name="x", source=str(tmp_path / "encoded.pdb")), PreparationSettings(), None)
    assert solute.repairs is not None and solute.repairs.atoms_added == {}
    assert np.array_equal(read_places(solute), read_places(alone))


BAD_LINES = {
    "coordinate": (lambda lines: [*lines[:4], f"{lines[4][:30]}   1.2x3{lines[4][38:]}", *lines[5:]],
                   r"line 5, columns 31-38 hold '1.2x3' instead of a number"),
    "connection": (lambda lines: [*lines, "CONECT  a?c    1"], r"line 17, columns 7-11 hold 'a\?c'"),
    "cell": (lambda lines: ["CRYST1   10.0a0   10.000   10.000  90.00  90.00  90.00 P 1", *lines], "columns 7-15"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_line_that_cannot_be_read_is_named(name: str, build: BuildSolute) -> None:
    alter, message = BAD_LINES[name]
    with pytest.raises(PreparationError, match=message) as refusal:
        build(alter(FIRST))
    assert "\n" not in str(refusal.value) and "int()" not in str(refusal.value)


def test_a_row_of_an_mmcif_that_cannot_be_read_is_named(build: BuildSolute) -> None:
    text = format_cif(FIRST, "A").rstrip("#\n")
    with pytest.raises(PreparationError, match=r"row 16 of atom_site has 16 values for 17 columns"):
        build(text[:-2] + "\n#\n")
