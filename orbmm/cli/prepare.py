"""`orbmm prepare`: from a structure file to a solvated box in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orbmm.checkpoints.catalog import CheckpointRecord
    from orbmm.preparation.prepare import PreparedSystem
    from orbmm.preparation.record import PreparationRecord
    from orbmm.settings import Settings


def prepare(
    source: Annotated[
        str, typer.Argument(help="SYSTEM.toml, a .pdb or .cif file, pdb:2CBA, alanine-dipeptide or water.")
    ],
    output: Annotated[Path | None, typer.Option(help="Folder to write; default: prepared/<name>.")] = None,
    model: Annotated[str | None, typer.Option(help="Network that is to run the box.")] = None,
    ph: Annotated[float | None, typer.Option(help="pH at which hydrogens are placed; 7 where nothing is said.")] = None,
    padding_nm: Annotated[float | None, typer.Option(help="Least distance between images of the solute [nm].")] = None,
    box: Annotated[str | None, typer.Option(help="cube, dodecahedron or octahedron.")] = None,
    salt: Annotated[float | None, typer.Option(help="Sodium chloride beyond neutralisation [mol/l].")] = None,
    neutralize: Annotated[bool | None, typer.Option(help="Whether ions take the total charge to zero.")] = None,
    equilibration_ps: Annotated[float | None, typer.Option(help="Classical dynamics at the end [ps].")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed builds the same box.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")] = False,
) -> None:
    """Repair, protonate and solvate a structure, and relax it with a classical force field."""
    from orbmm.checkpoints.catalog import find_record
    from orbmm.preparation.elements import KnownElements
    from orbmm.preparation.prepare import prepare_system
    from orbmm.preparation.write import refuse_taken_folder, write_prepared
    from orbmm.settings import override_settings

    changes: dict[str, dict[str, Any]] = {
        "system": {
            "ph": ph, "padding_nm": padding_nm, "box": box, "salt_molar": salt, "neutralize": neutralize, "seed": seed
        },
        "model": {"name": model},
        "preparation": {"equilibration_ps": equilibration_ps},
    }  # fmt: skip
    settings = override_settings(_read_source(source), changes)
    folder = output or Path("prepared") / settings.system.name
    refuse_taken_folder(folder, overwrite=overwrite)
    record = find_record(settings.model.name)
    known = KnownElements(record.name, frozenset(record.elements))
    prepared = prepare_system(settings.system, settings.preparation, known)
    written = write_prepared(prepared, _name_charge(settings, prepared, record), folder, overwrite=overwrite)
    _summarize(prepared.record, record, written)


def _read_source(source: str) -> Settings:
    """The settings in a file, or those of a bare structure: named after it, all else by default."""
    from orbmm.settings import Settings, read_settings
    from orbmm.settings.paths import is_source_file, make_absolute
    from orbmm.settings.system import SystemSettings

    if source.lower().endswith(".toml"):
        return read_settings(source)
    if is_source_file(source):
        path = make_absolute(Path(source), Path.cwd())
        return Settings(system=SystemSettings(name=path.stem, source=str(path)))
    return Settings(system=SystemSettings(name=source.split(":")[-1].lower() or "system", source=source))


def _name_charge(settings: Settings, prepared: PreparedSystem, record: CheckpointRecord) -> Settings:
    """The settings with total charge and multiplicity of the box, for a model that needs them."""
    from orbmm.settings import override_settings

    if not record.takes_charge:
        return settings
    multiplicity = settings.model.multiplicity or prepared.record.multiplicity
    return override_settings(settings, {"model": {"charge": prepared.record.charge, "multiplicity": multiplicity}})


def _summarize(record: PreparationRecord, model: CheckpointRecord, written: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _collect_facts(record):
        table.add_row(fact, value)
    console = Console(highlight=False)
    console.print(table)
    for warning in record.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(f"warning: {model.name}: {model.note}", style="yellow", markup=False)
    console.print(f"next: orbmm run {written}", markup=False, soft_wrap=True)


def _collect_facts(record: PreparationRecord) -> Iterator[tuple[str, str]]:
    """What was changed and what came out, in the order in which it was done."""
    yield "source", record.origin
    for choice in record.alternate_locations:
        others = ", ".join(f"{letter} {occupancy:g}" for letter, occupancy in choice.occupancies.items())
        yield "location taken", f"{choice.chosen} of {choice.residue} (occupancies: {others})"
    yield from _collect_repairs(record)
    for site in record.metal_sites:
        ligands = (f"{ligand.name} of {ligand.residue} {ligand.distance_angstrom:.2f} Å" for ligand in site.ligands)
        yield "metal site", f"{site.metal}: {', '.join(ligands) or 'nothing binds it'}"
    yield from (("disulfide", bond) for bond in record.disulfides)
    for protonation in record.protonation:
        if protonation.form != protonation.residue.split()[0] or not protonation.reason.startswith("pH"):
            yield "protonation", f"{protonation.residue} as {protonation.form}: {protonation.reason}"
    ions = ", ".join(f"{count} {name}" for name, count in record.solvation.ions_added.items())
    yield "solvent", f"{record.solvation.waters_added} waters added; ions: {ions or 'none'}"
    yield "charge", f"{record.charge} (solute {record.solute_charge}), multiplicity {record.multiplicity}"
    edges = " x ".join(f"{sum(length**2 for length in vector) ** 0.5:.3f}" for vector in record.box_nm)
    density = f"{record.relaxation.density_g_per_cm3:.3f} g/cm3"
    yield "box", f"{record.atoms} atoms, {record.box_shape}, edges {edges} nm, {density}"


def _collect_repairs(record: PreparationRecord) -> Iterator[tuple[str, str]]:
    repairs = record.repairs
    if repairs is None:
        return
    if repairs.models > 1:
        yield "model", f"the first of {repairs.models}"
    yield from (("replaced", f"{residue} by {name}") for residue, name in repairs.residues_replaced.items())
    yield from (("removed", f"{count} {name}") for name, count in repairs.residues_removed.items())
    yield from (("residues added", added) for added in repairs.residues_added)
    yield from (("atoms added", f"{', '.join(names)} of {residue}") for residue, names in repairs.atoms_added.items())
    if repairs.hydrogens_removed:
        yield "hydrogens", f"{repairs.hydrogens_removed} of the file placed anew"
    yield "waters kept", str(repairs.waters_kept)
