"""A structure file as PDBFixer reads it, and in our words what is odd about it."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from openmm import Platform, app, unit
from openmm.app.element import get_by_symbol
from pdbfixer import PDBFixer

from orbmm.errors import ConvertBareErrors, PreparationError, quote_reason
from orbmm.plain_text import describe_value
from orbmm.preparation.elements import find_charge, format_ion, name_ion
from orbmm.preparation.library_calls import LIBRARY_ERRORS
from orbmm.preparation.reading.atom_site import find_unreadable_row, open_atom_site, read_author_chain
from orbmm.preparation.reading.damage import find_damage
from orbmm.preparation.reading.pdb_lines import find_unreadable_number
from orbmm.preparation.reading.residue_names import StatedForm, find_parent, read_force_field_names
from orbmm.preparation.reading.source import StructureFile
from orbmm.preparation.reading.stated_bonds import StatedBond, read_stated_bonds
from orbmm.preparation.residues import UNIDENTIFIED_NAMES, find_unwritable_name, is_metal, is_water, label_residue

# What OpenMM says with the PDB line of the atom after it, and what we say of the atom's residue.
_ODDITIES = {
    "WARNING: duplicate atom (": "{atom} of {residue} stands in the file twice: the last is taken",
    "WARNING: two consecutive residues with same number (": "{residue} has the number of the residue before it",
}
_MOST_NAMED = 5
_OF_MODELS = ("ATOM", "HETATM", "ANISOU", "TER")


@dataclass(frozen=True)
class Reading:
    """The content of a structure file.

    fixer: its first model; models: how many it holds
    forms: protonation states that names of residues state, by residue ("A:64")
    bonds: bonds between residues that the file states
    warnings: what the user should know of the file
    """

    fixer: PDBFixer
    models: int
    forms: Mapping[str, StatedForm]
    bonds: tuple[StatedBond, ...]
    warnings: tuple[str, ...]


def read_structure(file: StructureFile) -> Reading:
    """Read the first model of a file, with the author's chains and with the names that the Protein Data Bank uses.

    Raises PreparationError if the file cannot be read or holds no atoms.
    """
    _refuse_damage(file)
    file, models = keep_first_model(file)
    file, forms = read_force_field_names(file)
    try:
        with _catch_oddities() as oddities, ConvertBareErrors():
            fixer = _open_fixer(file)
            _refuse_infinite(fixer)
    except LIBRARY_ERRORS as error:
        raise PreparationError(f"{file.origin} cannot be read as a structure file{_explain(file, error)}") from error
    if fixer.topology.getNumAtoms() == 0:
        raise PreparationError(f"{file.origin} holds no atoms")
    name = find_unwritable_name(fixer.topology)
    if name is not None:
        raise PreparationError(
            f"{file.origin}: the name {describe_value(name)} holds a control character; give another"
        )
    told = (sentence for kind in oddities.values() for sentence in join_few(kind))
    renamed = tuple(_name_ions_by_charge(fixer.topology))
    warnings = (*told, *_warn_of_guessed_elements(file, fixer.topology), *renamed)
    return Reading(fixer, models, forms, read_stated_bonds(file), warnings)


def _refuse_damage(file: StructureFile) -> None:
    """Raise PreparationError for a file with an atom that OpenMM would leave out or read in part."""
    fault = find_damage(file.text, file.kind)
    if fault is not None:
        raise PreparationError(f"{file.origin}: {fault}; is the file whole?")


def _refuse_infinite(fixer: PDBFixer) -> None:
    positions = np.array(fixer.positions.value_in_unit(unit.nanometer))
    if not np.isfinite(positions).all():
        raise ValueError("a coordinate is not a finite number")


def _open_fixer(file: StructureFile) -> PDBFixer:
    platform = Platform.getPlatform("Reference")  # repeats bitwise
    if file.kind == "pdb":
        fixer = PDBFixer(pdbfile=io.StringIO(file.text), platform=platform)
    else:
        fixer = PDBFixer(pdbxfile=io.StringIO(file.text), platform=platform)
        _take_author_chains(fixer, file)
    for sequence in fixer.sequences:
        sequence.residues = [find_parent(name) for name in sequence.residues]
    return fixer


def _take_author_chains(fixer: PDBFixer, file: StructureFile) -> None:
    """Give chains, sequences and modified residues the author's chain, where OpenMM and PDBFixer take the label."""
    rows = list(open_atom_site(file).read_rows())
    by_label = {row.get("label_asym_id", ""): read_author_chain(row) for row in rows}
    atoms = list(fixer.topology.atoms())
    if len(rows) != len(atoms):  # OpenMM leaves out an atom that the file gives twice
        by_atom = {row.get("id", ""): row for row in rows}
        rows = [by_atom.get(atom.id, {}) for atom in atoms]
    for atom, row in zip(atoms, rows, strict=True):
        atom.residue.chain.id = read_author_chain(row) or atom.residue.chain.id
        charge = row.get("pdbx_formal_charge", "")
        atom.formalCharge = int(charge) if charge.lstrip("+-").isdigit() else None
    for sequence in fixer.sequences:
        sequence.chainId = by_label.get(sequence.chainId, sequence.chainId)
    for modified in fixer.modifiedResidues:
        modified.chainId = by_label.get(modified.chainId, modified.chainId)


def _name_ions_by_charge(topology: app.Topology) -> Iterator[str]:
    """Give a metal ion the name of the charge that the file states for it, where its own name says another."""
    for residue in topology.residues():
        atom = next(residue.atoms())
        charge = atom.formalCharge
        if not is_metal(residue) or not charge or find_charge(residue.name) == charge:
            continue
        label, ion = label_residue(residue), format_ion(atom.element.symbol, charge)
        name = name_ion(atom.element.symbol, charge)
        if name is None:
            raise PreparationError(f"{label} is {ion} in the file, an ion that is not known: correct its charge there")
        yield f"{label} has the charge of {ion} in the file: taken as {name}"
        residue.name = name


def _explain(file: StructureFile, error: Exception) -> str:
    """Say where the fault is, or what OpenMM says of it; its other errors speak of its code."""
    place = find_unreadable_number(file.text) if file.kind == "pdb" else find_unreadable_row(open_atom_site(file))
    if place:
        return f": {place}; correct it"
    reason = quote_reason(" ".join(str(error).split())) if isinstance(error, ValueError) else ""
    return f"{reason}; is it whole, and of the format of its name?"


def join_few(sentences: Iterable[str]) -> Iterator[str]:
    """The first sentences, and how many more there are."""
    sentences = list(dict.fromkeys(sentences))
    yield from sentences[:_MOST_NAMED]
    if len(sentences) > _MOST_NAMED:
        yield f"the same of {len(sentences) - _MOST_NAMED} more"


@contextmanager
def _catch_oddities() -> Iterator[dict[str, list[str]]]:
    """Collect the known warnings of OpenMM while it reads, by kind, as sentences; others are shown as usual."""
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


def keep_first_model(file: StructureFile) -> tuple[StructureFile, int]:
    """Return the file with its first model alone, and how many models it has."""
    if file.kind == "cif":
        return _keep_first_in_cif(file)
    lines = file.text.splitlines()
    models = max(sum(line.startswith(record) for line in lines) for record in ("MODEL", "ENDMDL"))
    if models == 0:
        return file, 1
    return dataclasses.replace(file, text="\n".join(_drop_later_models(lines)) + "\n"), models


def _drop_later_models(lines: list[str]) -> Iterator[str]:
    """Yield the first model and the records around all of them: connections come after the last."""
    begun = ended = False
    for line in lines:
        if line.startswith(("MODEL", "ENDMDL")):  # either may be missing
            ended = ended or begun or line.startswith("ENDMDL")
            begun = True
        elif not (ended and line.startswith(_OF_MODELS)):
            yield line


def _keep_first_in_cif(file: StructureFile) -> tuple[StructureFile, int]:
    site = open_atom_site(file)
    numbers = list(dict.fromkeys(row.get("pdbx_PDB_model_num", "") for row in site.read_rows()))
    if len(numbers) < 2:
        return file, 1
    site.keep(lambda row: row.get("pdbx_PDB_model_num", "") == numbers[0])
    return dataclasses.replace(file, text=site.format_text()), len(numbers)
