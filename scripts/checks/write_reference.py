"""Write the pages of settings and commands in docs/ from the code that they describe.

python scripts/checks/write_reference.py            # writes the pages
A test fails while a page differs from what this script writes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from orbmm.cli.main import PANELS, build_app
from orbmm.forces.openmmml_plugin import CREATE_SYSTEM_OPTIONS
from orbmm.settings import EnsembleSettings, ModelSettings, Settings, SweepKey, TrainingSettings
from orbmm.settings.ensemble import list_sweep_keys
from orbmm.settings.field import Limits, Paths, entry_class, value_type

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = re.compile(r" \[(?!run\]|guard\]|model\]|stage\]|analysis\])([\w./^]+)\](?=[.;,]|$)")

SETTINGS_HEAD = """\
# Settings

**What can I write in a `system.toml`?** Every table and every key is listed here. Only `[system]` with its `name` is
required. Unknown keys and impossible values are errors that name the nearest valid one. A path is relative to the
folder of the file that it is written in.

A value on the command line replaces the one in the file: see [Command line](command-line.md).

*This page is generated from the code by `python scripts/checks/write_reference.py`.*
"""
TRAINING_HEAD = """\
# Settings of a training

**What can I write in a `training.toml`?** Every table and every key is listed here.
`[model]` and `[data]` are required. [Train your own model](training.md) shows a whole file.

*This page is generated from the code by `python scripts/checks/write_reference.py`.*
"""
ENSEMBLE_HEAD = """\
# Settings of an ensemble

**What can I write in an `ensemble.toml`?** Every table and every key is listed here. Only `system` is required.
[Ensembles](ensembles.md) shows whole files.

*This page is generated from the code by `python scripts/checks/write_reference.py`.*
"""
SWEEP_HEAD = """
## [sweep]

Each key takes a list of values, and every combination of them is run. `structures` takes the path of a folder instead.
These keys of a [system.toml](settings.md) can be swept:

"""
KEYWORDS_HEAD = """
## Keywords of createSystem

`MLPotential(name).createSystem(topology, ...)` and `createMixedSystem` take these keywords. They have the meaning
of the same keys in `[model]`. A file of weights belongs to `MLPotential(name, weights="file.ckpt")` itself.
"""
COMMANDS_HEAD = """\
# Command line

**Which commands and options are there?** This page shows the text of `orbmm COMMAND --help`.

| exit code | meaning |
|---|---|
| 0 | the command did what it should |
| 2 | bad input: one line says what was expected |
| 3 | the run became unstable, or the analysis judged it not stable |

`orbmm --debug COMMAND` shows the traceback of an error.

*This page is generated from the code by `python scripts/checks/write_reference.py`.*
"""


def main() -> None:
    """Write the pages."""
    for name, text in compose_pages().items():
        (REPOSITORY / "docs" / name).write_text(text, encoding="utf-8")


def compose_pages() -> dict[str, str]:
    """Return the text of each generated page by its file name in docs/."""
    return {
        "settings.md": compose_settings_page(),
        "training-settings.md": TRAINING_HEAD + format_tables(TrainingSettings),
        "ensemble-settings.md": ENSEMBLE_HEAD + format_tables(EnsembleSettings) + SWEEP_HEAD + format_sweep_keys(),
        "command-line.md": compose_command_page(),
    }


def compose_settings_page() -> str:
    """Return docs/settings.md: one table of keys for each table of a system.toml, then createSystem's keywords."""
    parts = [SETTINGS_HEAD, format_tables(Settings)]
    fields = {field.name: field for field in dataclasses.fields(ModelSettings)}
    keywords = [format_key(ModelSettings, fields[name], python=True) for name in CREATE_SYSTEM_OPTIONS]
    parts.append(f"{KEYWORDS_HEAD}\n{format_table(('keyword', 'meaning', 'default', 'unit', 'allowed'), keywords)}")
    return "".join(parts)


def format_sweep_keys() -> str:
    """Return a list of the keys of [sweep], a line for each table."""
    names = list_sweep_keys()
    tables = dict.fromkeys(name.partition(".")[0] for name in names)
    lines = [", ".join(f"`{name}`" for name in names if name.partition(".")[0] == table) for table in tables]
    return "".join(f"- {line}\n" for line in lines)


def format_tables(whole: type) -> str:
    """Return a heading and a table of keys for each table of a settings file."""
    parts = []
    for title, table in list_tables(whole):
        rows = [format_key(table, field) for field in dataclasses.fields(table)]
        parts.append(f"\n## {title}\n\n{format_table(('key', 'meaning', 'default', 'unit', 'allowed'), rows)}")
    return "".join(parts)


def list_tables(whole: type = Settings) -> Iterator[tuple[str, type]]:
    """Yield the heading and the dataclass of each table that a settings file may hold."""
    for field in dataclasses.fields(whole):
        hint = value_type(whole, field.name)
        entry = entry_class(hint)
        if entry is SweepKey:  # not a table of a file: [sweep] may name any key of another one
            continue
        table = entry or hint
        yield (f"[{field.name}]" if entry is None else f"[[{field.name}]]"), table
        for inner in dataclasses.fields(table):
            inner_entry = entry_class(value_type(table, inner.name))
            if inner_entry is not None:
                yield f"[[{field.name}.{inner.name}]]", inner_entry


def format_key(table: type, field: dataclasses.Field, *, python: bool = False) -> tuple[str, ...]:
    """Return the cells of one key: name, its sentence without the unit, default, unit, and what is allowed."""
    sentence = field.metadata["sentence"]
    unit = UNIT.search(sentence)
    meaning = UNIT.sub("", sentence)
    allowed = describe_limits(field.metadata["limits"], value_type(table, field.name))
    return f"`{field.name}`", meaning, describe_default(field, python=python), unit[1] if unit else "", allowed


def describe_default(field: dataclasses.Field, *, python: bool) -> str:
    """Return the default as it would be written in TOML or Python; 'absent' where the key has no value."""
    if field.default_factory is not dataclasses.MISSING:
        return "`{}`"
    if field.default is dataclasses.MISSING:
        return "**required**"
    if field.default is None:
        return "`None`" if python else "absent"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value!r}`" if python else f"`{json.dumps(value)}`"


def describe_limits(limits: Limits, kind: Any) -> str:
    """Return what a value may be: its choices, its bounds, or else its type in words."""
    if limits.choices:
        return ", ".join(f"`{choice}`" for choice in limits.choices)
    bounds = {"above": limits.above, "at least": limits.at_least, "at most": limits.at_most}
    words = [f"{word} {bound:.10g}" for word, bound in bounds.items() if bound is not None]
    return ", ".join(words) or {bool: "true, false", str: "text", Path: "path", Paths: "paths"}.get(kind, "")


def compose_command_page() -> str:
    """Return docs/command-line.md: each command with its help, arguments and options."""
    commands = typer.main.get_command(build_app()).commands
    parts = [COMMANDS_HEAD]
    for panel, functions in PANELS.items():
        parts.append(f"\n## {panel}\n")
        for function in functions:
            name = function.__name__.replace("_", "-")
            parts.append(f"\n### orbmm {name}\n\n{tidy(commands[name].help)}\n\n{format_options(commands[name])}")
    return "".join(parts)


def format_options(command: Any) -> str:
    """Return the table of a command's arguments and options."""
    rows = []
    for option in command.params:
        names = " ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts] if name.startswith("-"))
        shown = option.opts[0] if option.default is True else option.default
        default = f"`{shown}`" if shown is not False and isinstance(shown, str | int | float | Path) else ""
        rows.append((names or f"`{option.name.upper()}`", default, tidy(option.help)))
    return format_table(("option", "default", "meaning"), rows) if rows else "It takes no options.\n"


def tidy(text: str | None) -> str:
    """Return help text with single spaces and its paragraphs apart."""
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def format_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; bars and angle brackets inside a cell are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[cell.replace("|", r"\|").replace("<", "&lt;").replace("\n\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in cells)


if __name__ == "__main__":
    main()
