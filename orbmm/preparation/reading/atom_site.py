"""The atom_site table of an mmCIF file: read with the author's chains and numbers, changed, and written again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from openmm.app.internal.pdbx.reader import PdbxReader as pdbx  # where its two errors are defined
from openmm.app.internal.pdbx.writer.PdbxWriter import PdbxWriter

from orbmm.errors import PreparationError
from orbmm.preparation.reading.pdb_lines import is_number
from orbmm.preparation.reading.source import StructureFile

_NO_VALUE = frozenset({"", ".", "?"})
Row = Mapping[str, str]


@dataclass
class AtomSite:
    """All tables of an mmCIF file, and its atoms as lists of strings that may be changed in place."""

    blocks: list
    names: list[str]
    rows: list[list[str]]

    def read_rows(self) -> Iterator[Row]:
        """Yield each atom as its values by name, without those that are unknown."""
        for row in self.rows:
            yield _name_values(self.names, row)

    def keep(self, stays: Callable[[Row], bool]) -> None:
        """Drop the atoms for which the answer is no."""
        self.rows[:] = [row for row in self.rows if stays(_name_values(self.names, row))]

    def set_value(self, index: int, name: str, value: str) -> None:
        """Change one value of the atom with this index; a table without that column stays as it is."""
        if name in self.names:
            self.rows[index][self.names.index(name)] = value

    def format_text(self) -> str:
        """Return the whole file as text."""
        stream = io.StringIO()
        PdbxWriter(stream).write(self.blocks)
        return stream.getvalue()


def open_atom_site(file: StructureFile) -> AtomSite:
    """Return the atoms of an mmCIF file.

    Raises PreparationError that names the line or row where there is no such table or it is torn.
    """
    blocks: list = []
    try:
        pdbx.PdbxReader(io.StringIO(file.text)).read(blocks)
    except pdbx.SyntaxError as error:
        reason = f"line {error.lineNumber}: {error.text}"
        raise PreparationError(f"{file.origin} cannot be read as mmCIF ({reason}): correct that line") from error
    except (pdbx.PdbxError, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise PreparationError(f"{file.origin} cannot be read as mmCIF: is it whole, and of that format?") from error
    table = blocks[0].getObj("atom_site") if blocks else None
    if table is None:
        raise PreparationError(f"{file.origin} has no atom_site table: not an mmCIF structure")
    names, rows = table.getAttributeList(), table.getRowList()
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise PreparationError(
                f"{file.origin}: row {number} of atom_site has {len(row)} values for {len(names)} columns: correct it"
            )
    return AtomSite(blocks, names, rows)


def read_table(site: AtomSite, name: str) -> Iterator[Row]:
    """Yield each row of another table of the file as its values by name; none where the file lacks it."""
    table = site.blocks[0].getObj(name)
    if table is not None:
        names = table.getAttributeList()
        for row in table.getRowList():
            yield _name_values(names, row)


def find_unreadable_row(site: AtomSite) -> str | None:
    """Return the first atom whose coordinates are no numbers, and what the file gives; None where all are."""
    for number, row in enumerate(site.read_rows(), start=1):
        for name in ("Cartn_x", "Cartn_y", "Cartn_z"):
            if not is_number(row.get(name, "")):
                return f"row {number} of atom_site has {name} '{row.get(name, '')}' instead of a number"
    return None


def read_author_chain(row: Row) -> str:
    """Return the author's chain of an atom, the label where the author gave none."""
    return row.get("auth_asym_id") or row.get("label_asym_id", "")


def read_author_key(row: Row) -> str:
    """Return the residue of an atom as settings name it, by the author's chain and number."""
    number = row.get("auth_seq_id") or row.get("label_seq_id", "")
    return f"{read_author_chain(row)}:{number}{row.get('pdbx_PDB_ins_code', '')}"


def _name_values(names: list[str], row: list[str]) -> Row:
    return {name: value for name, value in zip(names, row, strict=False) if value not in _NO_VALUE}
