"""`orbmm prepare`: build a solvated box from a structure file, in a new folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orbmm.cli.screen import open_console
from orbmm.errors import SettingsError

if TYPE_CHECKING:
    from orbmm.checkpoints.catalog import CheckpointRecord
    from orbmm.preparation.prepare import PreparedSystem
    from orbmm.settings import Settings


def prepare(
    source: Annotated[
        str, typer.Argument(help="SYSTEM.toml, a .pdb or .cif file, pdb:2CBA, alanine-dipeptide or water.")
    ],
    output: Annotated[Path | None, typer.Option(help="Folder to write; default: prepared/<name>.")] = None,
    model: Annotated[str | None, typer.Option(help="Network that is to run the box.")] = None,
    ph: Annotated[float | None, typer.Option(help="pH at which hydrogens are placed; 7 where nothing is said.")] = None,
    padding_nm: Annotated[float | None, typer.Option(help="Least distance of two images of the solute, in nm.")] = None,
    box: Annotated[str | None, typer.Option(help="cube, dodecahedron or octahedron.")] = None,
    salt: Annotated[float | None, typer.Option(help="Sodium chloride beyond neutralisation, in mol/l.")] = None,
    neutralize: Annotated[bool | None, typer.Option(help="Whether ions take the total charge to zero.")] = None,
    equilibration_ps: Annotated[float | None, typer.Option(help="Classical dynamics at the end, in ps.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed builds the same box.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a system that was prepared in the folder.")
    ] = False,
) -> None:
    """Repair, protonate and solvate a structure, and relax it with a classical force field."""
    from orbmm.checkpoints.record_in_file import resolve_record
    from orbmm.cli.preparation_screen import follow_preparation, summarize
    from orbmm.preparation.elements import KnownElements
    from orbmm.preparation.prepare import prepare_system
    from orbmm.preparation.write import check_prepared_folder, write_prepared
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
    recipe = Path(source) if source.lower().endswith(".toml") else None
    check_prepared_folder(settings, folder, overwrite=overwrite, recipe=recipe)
    record = resolve_record(settings.model.name, settings.model.weights)
    known = KnownElements(record.name, frozenset(record.elements))
    console = open_console()
    multiplicity = settings.model.multiplicity if record.takes_charge else None
    with follow_preparation(console) as on_progress:
        prepared = prepare_system(settings.system, settings.preparation, known, on_progress, multiplicity)
    named = _name_charge(settings, prepared, record)
    written = write_prepared(prepared, named, folder, overwrite=overwrite, recipe=recipe)
    summarize(prepared.record, record, written, console)


def _read_source(source: str) -> Settings:
    """Return the settings in a file, or for a structure the defaults, with the system named after it."""
    from orbmm.settings import Settings, read_settings
    from orbmm.settings.paths import is_source_file, make_absolute
    from orbmm.settings.system import SystemSettings

    if source.lower().endswith(".toml"):
        return read_settings(source)
    if is_source_file(source):
        path = make_absolute(Path(source), Path.cwd())
        try:
            return Settings(system=SystemSettings(name=path.stem, source=str(path)))
        except SettingsError as error:
            raise SettingsError(f"the system is named after its file, but {error}; rename the file") from error
    return Settings(system=SystemSettings(name=source.split(":")[-1].lower() or "system", source=source))


def _name_charge(settings: Settings, prepared: PreparedSystem, record: CheckpointRecord) -> Settings:
    """Return the settings with total charge and multiplicity of the box if the model needs them."""
    from orbmm.settings import override_settings

    if not record.takes_charge:
        return settings
    charge = prepared.record.charge
    multiplicity = settings.model.multiplicity
    multiplicity = prepared.record.multiplicity if multiplicity is None else multiplicity
    return override_settings(settings, {"model": {"charge": charge, "multiplicity": multiplicity}})
