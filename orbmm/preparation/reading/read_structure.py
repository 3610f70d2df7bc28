"""A structure file as PDBFixer reads it, and in our words what is odd about it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from openmm import Platform, app
from openmm.app.element import get_by_symbol
from openmm.app.internal.pdbx.reader import PdbxReader as pdbx
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.plain_text import describe_value
from orbmm.preparation.names import find_unwritable_name
from orbmm.preparation.reading.source import StructureFile
from orbmm.preparation.residues import UNIDENTIFIED_NAMES, is_water, label_residue

# What OpenMM says with the PDB line of the atom after it, and what we say of the atom's residue.
_ODDITIES = {
    "WARNING: duplicate atom (": "{atom} of {residue} stands in the file twice: the last is taken",
    "WARNING: two consecutive residues with same number (": "{residue} has the number of the residue before it",
}
_MOST_NAMED = 5


def read_structure(file: StructureFile) -> tuple[PDBFixer, int, tuple[str, ...]]:
    """The first model of the file, the number of models, and what the user should know of the file.

    Raises PreparationError if the file cannot be read or holds no atoms.
    """
    platform = Platform.getPlatform("Reference")  # repeats bitwise
    try:
        with _catch_oddities() as oddities:
            if file.kind == "pdb":
                models = app.PDBFile(io.StringIO(file.text)).getNumFrames()
                fixer = PDBFixer(pdbfile=io.StringIO(file.text), platform=platform)
            else:
                models = app.PDBxFile(io.StringIO(file.text)).getNumFrames()
                fixer = PDBFixer(pdbxfile=io.StringIO(file.text), platform=platform)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, ArithmeticError, pdbx.SyntaxError) as error:
        # The others speak of OpenMM's code.
        speaks = isinstance(error, (ValueError, pdbx.SyntaxError))
        why = f": {' '.join(str(error).split())}" if speaks else "; is it whole, and of the format of its name?"
        raise PreparationError(f"{file.origin} cannot be read as a structure file{why}") from error
    if fixer.topology.getNumAtoms() == 0:
        raise PreparationError(f"{file.origin} holds no atoms")
    name = find_unwritable_name(fixer.topology)
    if name is not None:
        raise PreparationError(
            f"{file.origin}: the name {describe_value(name)} holds a control character; give another"
        )
    told = (sentence for kind in oddities.values() for sentence in join_few(kind))
    return fixer, models, (*told, *_warn_of_guessed_elements(file, fixer.topology))


def join_few(sentences: Iterable[str]) -> Iterator[str]:
    """The first sentences, and how many more there are."""
    sentences = list(dict.fromkeys(sentences))
    yield from sentences[:_MOST_NAMED]
    if len(sentences) > _MOST_NAMED:
        yield f"the same of {len(sentences) - _MOST_NAMED} more"


@contextmanager
def _catch_oddities() -> Iterator[dict[str, list[str]]]:
    """What OpenMM warns of while it reads, in our words, by kind; warnings that we do not know go their usual way."""
    oddities: dict[str, list[str]] = {beginning: [] for beginning in _ODDITIES}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield oddities
    for warning in caught:
        message = str(warning.message)
        beginning = next(filter(message.startswith, _ODDITIES), None)
        if beginning is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        else:
            oddities[beginning].append(_reword(_ODDITIES[beginning], message[len(beginning) :]))


def _reword(sentence: str, line: str) -> str:
    residue = f"{line[17:20].strip()} {line[21:22].strip()}:{line[22:27].strip()}"
    return sentence.format(atom=line[12:16].strip(), residue=residue)


def _warn_of_guessed_elements(file: StructureFile, topology: app.Topology) -> Iterator[str]:
    """OpenMM guesses from the name of an atom where the file's element column is empty: right in a protein."""
    if file.kind != "pdb":
        return
    guessed = {line[6:11].strip() for line in file.text.splitlines() if _lacks_element(line)}
    if not guessed:
        return
    single = []
    for residue in topology.residues():
        atoms = list(residue.atoms())
        if len(atoms) == 1 and atoms[0].id in guessed and not is_water(residue):
            element = atoms[0].element
            single.append(f"{label_residue(residue)} as {element.symbol if element else 'none'}")
    which = f" ({', '.join(join_few(single))})" if single else ""
    yield (
        f"{len(guessed)} {'atom has' if len(guessed) == 1 else 'atoms have'} no element in columns 77-78 of the file: "
        f"guessed from their names{which}; "
        "write the elements there if that is wrong"
    )


def _lacks_element(line: str) -> bool:
    if not line.startswith(("ATOM", "HETATM")) or line[17:20].strip() in UNIDENTIFIED_NAMES:
        return False
    try:
        get_by_symbol(line[76:78])
    except KeyError:
        return True
    return False
