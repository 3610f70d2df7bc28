"""The display of a preparation: a progress bar, and at the end all changes and decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from rich.console import Console

    from orbmm.checkpoints.catalog import CheckpointRecord
    from orbmm.preparation.box.classical import OnProgress
    from orbmm.preparation.hydrogens.protonation import Protonation
    from orbmm.preparation.ligands.record import KeptLigand
    from orbmm.preparation.prepare import PreparationRecord

# Forms that are only counted where pH decided: the usual ones of water at pH 7.
_USUAL_FORMS = {"ASP": "charged", "GLU": "charged", "LYS": "charged", "CYS": "neutral"}


@contextmanager
def follow_preparation(console: Console) -> Iterator[OnProgress]:
    """Yield a function that draws the progress of a stage on a terminal; elsewhere the log lines are enough."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    if not console.is_terminal:
        yield lambda stage, done: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    tasks = {}

    def draw(stage: str, done: float) -> None:
        """Show the progress of a stage. done: from 0 to 1."""
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=1.0)
        bar.update(tasks[stage], completed=done)
        bar.start()
        if done >= 1.0:  # the next line of the log must not run into the bar
            bar.stop()
            bar.update(tasks[stage], visible=False)

    try:
        yield draw
    finally:
        bar.stop()


def summarize(record: PreparationRecord, model: CheckpointRecord, written: Path, console: Console) -> None:
    """Print every change and decision, the warnings, and the next command."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _collect_facts(record):
        table.add_row(fact, value)
    console.print(table)
    for warning in record.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    console.print(f"warning: {model.name}: {model.note}", style="yellow", soft_wrap=True)
    console.print(f"next: {quote_command('orbmm', 'run', written)}", soft_wrap=True)


def _collect_facts(record: PreparationRecord) -> Iterator[tuple[str, str]]:
    """Yield the changes and their results, in the order in which they were made."""
    yield "source", record.origin
    for choice in record.alternate_locations:
        others = ", ".join(f"{letter} {occupancy:g}" for letter, occupancy in choice.occupancies.items())
        yield "location taken", f"{choice.chosen} of {choice.residue} (occupancies: {others})"
    yield from _collect_repairs(record)
    yield from (("ligand", describe_ligand(ligand)) for ligand in record.ligands)
    for site in record.metal_sites:
        ligands = (f"{ligand.name} of {ligand.residue} {ligand.distance_angstrom:.2f} Å" for ligand in site.ligands)
        charge = f"{record.ion_charges[site.metal]:+d}, " if site.metal in record.ion_charges else ""
        yield "metal site", f"{site.metal}: {charge}{', '.join(ligands) or 'nothing binds it'}"
    yield from (("disulfide", bond) for bond in record.disulfides)
    yield from (("protonation", line) for line in describe_protonation(record.protonation))
    ions = ", ".join(f"{count} {name}" for name, count in record.solvation.ions_added.items())
    yield "solvent", f"{record.solvation.waters_added} waters added; ions: {ions or 'none'}"
    yield "charge", f"{record.charge} (solute {record.solute_charge}), multiplicity {record.multiplicity}"
    edges = " x ".join(f"{sum(length**2 for length in vector) ** 0.5:.3f}" for vector in record.box_nm)
    density = f"{record.relaxation.density_g_per_cm3:.3f} g/cm3"
    yield "box", f"{record.atoms} atoms, {record.box_shape}, edges {edges} nm, {density}"


def describe_ligand(ligand: KeptLigand) -> str:
    """Return the state of a ligand, where its coordinates come from, and what was done for it."""
    sentence = (
        f"{ligand.residue}: {ligand.state}, charge {ligand.charge:+d}; coordinates {ligand.coordinates}; "
        f"{ligand.hydrogens_added} hydrogens placed; {ligand.parameters}"
    )
    gone = f"; {', '.join(ligand.waters_removed)} removed" if ligand.waters_removed else ""
    return f"{sentence}{gone}"


def _collect_repairs(record: PreparationRecord) -> Iterator[tuple[str, str]]:
    repairs = record.repairs
    if repairs is None:
        return
    if repairs.models > 1:
        yield "model", f"the first of {repairs.models}"
    yield from (("chain removed", chain) for chain in repairs.chains_removed)
    yield from (("replaced", f"{residue} by {name}") for residue, name in repairs.residues_replaced.items())
    yield from (("removed", f"{count} {name}") for name, count in repairs.residues_removed.items())
    yield from (("residues added", added) for added in repairs.residues_added)
    yield from (("atoms added", f"{', '.join(names)} of {residue}") for residue, names in repairs.atoms_added.items())
    if repairs.hydrogens_removed:
        yield "hydrogens", f"{repairs.hydrogens_removed} of the file placed anew"
    yield "waters kept", str(repairs.waters_kept)


def describe_protonation(protonation: tuple[Protonation, ...]) -> Iterator[str]:
    """Yield a line for each unusual form of titratable residues and its reason, and one that counts the usual forms."""
    usual: Counter[tuple[str, str]] = Counter()
    others: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for entry in protonation:
        name, _, key = entry.residue.partition(" ")
        if entry.form == name and name in _USUAL_FORMS and entry.reason.startswith("pH"):
            usual[name, _USUAL_FORMS[name]] += 1
        else:
            others[name, entry.form, entry.reason].append(key)
    for (name, form, reason), keys in sorted(others.items()):
        yield f"{name} as {form}: {', '.join(keys)} ({reason})"
    if usual:
        yield ", ".join(f"{count} {name} {state}" for (name, state), count in sorted(usual.items()))
