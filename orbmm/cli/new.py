"""`orbmm new`: write an example system into a new folder, ready to be prepared or run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orbmm.cli.screen import say
from orbmm.plain_text import quote_command


def new(
    name: Annotated[str | None, typer.Argument(help="System to write; without a name, all are listed.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to make; default: NAME in the current folder.")] = None,
) -> None:
    """Write the folder of an example system (settings, structure or its source, README), or list the systems."""
    from orbmm.preparation.shipped import list_systems, write_system
    from orbmm.settings import read_settings

    if name is None:
        for known, title in list_systems().items():
            typer.echo(f"{known:<24}{title}")
        return
    path = write_system(name, output or Path(name))
    command = "run" if read_settings(path).system.structure else "prepare"
    say(f"written: {path.parent}")
    say(f"next: {quote_command('orbmm', command, path)}")
