"""`orbmm diagnose`: measure whether a model's energy and forces can be trusted on a structure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import open_console, say

if TYPE_CHECKING:
    from orbmm.run_files.diagnosis import Diagnosis, Diagnostic
    from orbmm.training.data.frames import Frame


def diagnose(
    target: Annotated[str, typer.Argument(metavar="MODEL|SYSTEM.toml|RUN", help="Model, system or run folder.")],
    structure: Annotated[
        Path | None,
        typer.Option(help="Structure instead of the target's own, or of the shipped peptide box: PDB, mmCIF, extxyz."),
    ] = None,
    compare: Annotated[str | None, typer.Option(help="Second model; default: the fast model of the system.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Labelled frames: extxyz, ASE .db or .npz.")] = None,
    energy_unit: Annotated[str, typer.Option(help="Unit of the label energies.")] = "eV",
    force_unit: Annotated[str, typer.Option(help="Unit of the label forces.")] = "eV/Å",
    weights: Annotated[Path | None, typer.Option(help="File of weights; default: the target's own.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...; default: the target's own.")] = None,
    charge: Annotated[int | None, typer.Option(help="Total charge; default: that of system or structure.")] = None,
    multiplicity: Annotated[int | None, typer.Option(min=0, help="Spin multiplicity; 0: not known.")] = None,
    precision: Annotated[str, typer.Option(help="Precision of the network; others add their rounding.")] = "float64",
    heating_ps: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Length of the dynamics without a thermostat, in ps; 0: none.")
    ] = 0.1,
    long_step: Annotated[
        bool, typer.Option("--long-step", help="Also measure steps of 2 fs with hydrogens of 4 g/mol over 1 ps.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(help="File of all numbers; default: analysis/diagnosis.json in a run folder, or none."),
    ] = None,
) -> None:
    """Measure a model on a structure: invariance, conservation of energy, heating, confidence, unknown atoms.

    It prints one table, with the largest value that passes and the reason, and one line. The exit code is 0 whatever
    the table says. `orbmm report RUN` shows the last diagnosis of a run.
    """
    from orbmm.diagnose.labels import LabelFile
    from orbmm.diagnose.measure import Plan, diagnose_model
    from orbmm.diagnose.subject import find_subject
    from orbmm.errors import SettingsError
    from orbmm.first_contact.load import load_model
    from orbmm.outputs import OutputFolder
    from orbmm.run_files.diagnosis import format_diagnosis
    from orbmm.run_files.layout import RunFolder

    if labels is None and (energy_unit, force_unit) != ("eV", "eV/Å"):
        raise SettingsError("--energy-unit and --force-unit belong to --labels: add --labels, or remove them")
    subject = find_subject(target, structure)
    path = json or (RunFolder(subject.folder).diagnosis if subject.folder is not None else None)
    if path is not None:
        _check_target(path)
    model = subject.model
    own = weights or model.weights
    place = device or model.device
    other = compare or model.fast
    diagnosis = diagnose_model(
        load_model(model.name, own, place, precision),
        [_charge(frame, charge, multiplicity) for frame in subject.frames],
        None if other is None else load_model(other, None, place, precision),
        None if labels is None else LabelFile(labels, energy_unit, force_unit),
        Plan(heating_ps=heating_ps, long_step=long_step),
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        OutputFolder(path.parent).write({path.name: format_diagnosis(diagnosis)})
    show(diagnosis, path)


def _check_target(path: Path) -> None:
    """Check before the work that the file can be written. Raises OutputError."""
    from orbmm.errors import OutputError
    from orbmm.outputs import OutputFolder

    try:
        OutputFolder(path.parent).check([path.name])
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "name another file with --json") from error


def _charge(frame: Frame, charge: int | None, multiplicity: int | None) -> Frame:
    """Return the frame with the charge and multiplicity of the command line, where given."""
    from dataclasses import replace

    given = {"charge": charge, "multiplicity": multiplicity}
    return replace(frame, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def show(diagnosis: Diagnosis, path: Path | None) -> None:
    """Print the table, what was not measured, the advice and the verdict."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{diagnosis.model} on {diagnosis.structure}, {diagnosis.atoms} atoms, {diagnosis.precision}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("quantity, and why it matters", overflow="fold")
    for name, justify in (("value", "right"), ("unit", "left"), ("at most", "right"), ("", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for each in diagnosis.diagnostics:
        name, *cells = describe_row(each)
        table.add_row(Group(name, Text(each.reason, style="dim")), *cells)
    open_console().print(table)
    for name, reason in diagnosis.missing.items():
        say(f"not measured: {name}: {reason}")
    for sentence in diagnosis.advice:
        say(sentence)
    if path is not None:
        say(f"written: {path}")
    say(diagnosis.verdict, bold=True)


def describe_row(each: Diagnostic) -> tuple[str, ...]:
    """Return the cells of one diagnostic, without its reason."""
    limit = "" if each.threshold is None else f"{each.threshold:.3g}"
    outcome = {True: "passed", False: "failed", None: ""}[each.passed]
    return each.name, f"{each.value:.3g}", each.unit, limit, outcome
