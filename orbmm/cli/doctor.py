"""`orbmm doctor`: check the installation, and advise on what does not work."""

from __future__ import annotations

import typer

from orbmm.cli.screen import open_console


def doctor() -> None:
    """Check this installation: versions, devices, force kinds, and a self-test of a second.

    Needs no network connection. Exit code 2 when something is broken, so that scripts can check it.
    """
    import logging

    from rich.table import Table

    from orbmm.doctor.diagnose import diagnose
    from orbmm.doctor.installation import State

    logging.getLogger("orbmm").setLevel(logging.WARNING)  # the table says which force kinds run
    looks = {State.GOOD: "[green]✓", State.LIMITED: "[yellow]–", State.BROKEN: "[bold red]✗"}
    console = open_console(markup=True)
    broken = 0
    for title, findings in diagnose():
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            table.add_row(looks[finding.state], finding.subject, _escape(finding.seen))
            if finding.advice:
                table.add_row("", "", f"[cyan]→ {_escape(finding.advice)}")
        console.print(table, "")
        broken += sum(finding.state is State.BROKEN for finding in findings)
    console.print(f"[bold red]{broken} broken" if broken else "[bold green]orbmm can run here")
    raise typer.Exit(2 if broken else 0)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
