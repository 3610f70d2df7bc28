"""An atom that readers of PDB files would leave out, or read in part, is refused by its line, at every door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.peptide_lines import format_cif

from orbmm.analysis.reading.run_folder import read_structure as read_topology
from orbmm.errors import OrbmmError
from orbmm.preparation.reading.damage import find_damage
from orbmm.preparation.reading.read_structure import read_structure
from orbmm.preparation.reading.source import read_source
from orbmm.settings import SystemSettings
from orbmm.simulation.start.structure import read_start

LINE = "ATOM  {:5d}  {:<3s} GLY A   1    {:8.3f}   0.000   0.000  1.00  0.00           {}"
LINES = [LINE.format(at, name, 1.4 * at, name[0]) for at, name in enumerate(("N", "CA", "C", "O", "OXT"), start=1)]
DAMAGED = {
    "a line that is shifted": [" " + LINES[0], *LINES[1:]],
    "small letters": [*LINES[:2], LINES[2].lower(), *LINES[3:]],
    "a number of six digits in column 6": [*LINES[:4], LINES[4].replace("ATOM      5", "ATOM 100000")],
    "tabulators": [LINES[0].replace(" ", "\t"), *LINES[1:]],
    "a coordinate that is cut": [*LINES[:4], LINES[4][:52]],
    "a name that is cut": [*LINES[:4], LINES[4][:13]],
}
SOUND = {
    "a remark": ["REMARK   1 ATOM 5 IS ODD", *LINES],
    "ends of lines of other systems": ["\r\n".join(LINES), ""],
    "ends of lines of old systems": ["\r".join(LINES), ""],
    "no occupancy": [line[:54] for line in LINES],
}


def count_in_start(path: Path) -> int:
    return len(read_start(SystemSettings(name="x", structure=path)).positions)


def count_in_source(path: Path) -> int:
    return int(read_structure(read_source(str(path))).fixer.topology.getNumAtoms())


def count_in_topology(path: Path) -> int:
    return int(read_topology(path).n_atoms)


DOORS = pytest.mark.parametrize("count", [count_in_start, count_in_source, count_in_topology])


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "glycine.pdb"
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path


@DOORS
@pytest.mark.parametrize("lines", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_named(tmp_path: Path, count: Callable[[Path], int], lines: list[str]) -> None:
    with pytest.raises(OrbmmError, match=r"glycine\.pdb.*line \d (begins with|ends in column)"):
        count(write(tmp_path, lines))


@DOORS
@pytest.mark.parametrize("lines", SOUND.values(), ids=SOUND)
def test_a_sound_file_is_read_whole(tmp_path: Path, count: Callable[[Path], int], lines: list[str]) -> None:
    assert count(write(tmp_path, lines)) == len(LINES)


def test_the_fault_says_where_and_what() -> None:
    damaged = find_damage("\n".join(DAMAGED["a coordinate that is cut"]), "pdb")
    assert damaged == "line 5 ends in column 52, before the coordinates of its atom end (54)"
    assert find_damage("\n".join(LINES), "pdb") is None


@DOORS
def test_a_coordinate_that_is_not_finite_is_refused(tmp_path: Path, count: Callable[[Path], int]) -> None:
    lines = [LINES[0].replace("   1.400", "     nan"), *LINES[1:]]
    with pytest.raises(OrbmmError, match=r"glycine\.pdb.*(finite|instead of a number)"):
        count(write(tmp_path, lines))


def test_a_mark_that_hides_the_first_line_is_refused_by_the_analysis(tmp_path: Path) -> None:
    with pytest.raises(OrbmmError, match="begins with a byte-order mark"):
        count_in_topology(write(tmp_path, ["\ufeff" + LINES[0], *LINES[1:]]))


@pytest.mark.parametrize("count", [count_in_start, count_in_source])
def test_a_mark_before_text_that_is_no_utf8_hides_nothing(tmp_path: Path, count: Callable[[Path], int]) -> None:
    path = tmp_path / "glycine.pdb"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([*LINES, "REMARK \xff", ""]).encode("latin-1"))
    assert count(path) == len(LINES)


@pytest.mark.parametrize("missing", ["MODEL        1", "MODEL        2", "ENDMDL"])
def test_models_that_lack_a_record_are_told_apart_or_refused(tmp_path: Path, missing: str) -> None:
    lines = ["MODEL        1", *LINES, "ENDMDL", "MODEL        2", *LINES, "ENDMDL", "END"]
    lines.remove(missing)
    path = write(tmp_path, lines)
    assert count_in_source(path) == len(LINES)
    if missing == "MODEL        2":
        with pytest.raises(OrbmmError, match="5 atoms follow an ENDMDL record without a MODEL record"):
            count_in_start(path)
    else:
        assert count_in_start(path) == len(LINES)


@DOORS
def test_a_text_of_an_mmcif_file_that_does_not_end_is_refused(tmp_path: Path, count: Callable[[Path], int]) -> None:
    content = format_cif(LINES, "A")
    path = tmp_path / "glycine.cif"
    path.write_text(content)
    assert count(path) == len(LINES)
    path.write_text(f"{content}_struct.title\n;two\nlines\n;\n")
    assert count(path) == len(LINES)
    path.write_text(content.replace("ATOM 3", ";ATOM 3"))
    with pytest.raises(OrbmmError, match=r"glycine\.cif.*begins with ';' in line 23 does not end"):
        count(path)
