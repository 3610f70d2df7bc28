"""`orbmm doctor`: check the installation, and advise on what does not work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import open_console

if TYPE_CHECKING:
    from orbmm.doctor.installation import Finding


def doctor(
    gpu: Annotated[bool, typer.Option("--gpu", help="Compare every GPU with the CPU, in every precision.")] = False,
    model: Annotated[str | None, typer.Option(help="With --gpu: the model; default: the embedded one.")] = None,
) -> None:
    """Check this installation: versions, devices, force kinds, and a self-test of a second.

    Needs no network connection. Exit code 2 when something is broken, so that scripts can check it.

    --gpu compares energy, forces and confidence of a small box with the CPU. It takes some seconds for each precision.
    """
    import logging

    from orbmm.errors import DeviceError, SettingsError

    if model is not None and not gpu:
        raise SettingsError("--model belongs to --gpu: add --gpu, or remove --model")
    logging.getLogger("orbmm").setLevel(logging.WARNING)  # the table says which force kinds run
    if not gpu:
        from orbmm.doctor.diagnose import diagnose

        raise typer.Exit(_show(diagnose(), "orbmm can run here"))
    from orbmm.checkpoints.catalog import default_model, find_record
    from orbmm.doctor.gpu import check_gpus, count_gpus

    name, gpus = find_record(model or default_model()).name, count_gpus()
    code = _show(check_gpus(name), "every GPU computes as the CPU does" if gpus else "")
    if not gpus:
        raise DeviceError("torch finds no GPU here: `orbmm doctor` says what is missing")
    raise typer.Exit(code)


def _show(sections: Iterable[tuple[str, list[Finding]]], verdict: str) -> int:
    """Print the findings as they come, and a last line; return the exit code. verdict: for nothing broken"""
    from rich.table import Table

    from orbmm.doctor.installation import State

    looks = {State.GOOD: "[green]✓", State.LIMITED: "[yellow]–", State.BROKEN: "[bold red]✗"}
    console = open_console(markup=True)
    broken = 0
    for title, findings in sections:
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            table.add_row(looks[finding.state], _escape(finding.subject), _escape(finding.seen))
            if finding.advice:
                table.add_row("", "", f"[cyan]→ {_escape(finding.advice)}")
        console.print(table, "")
        broken += sum(finding.state is State.BROKEN for finding in findings)
    if broken or verdict:
        console.print(f"[bold red]{broken} broken" if broken else f"[bold green]{verdict}")
    return 2 if broken else 0


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
