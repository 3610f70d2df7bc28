"""Whatever a name holds, the terminal shows it and does nothing else."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from orbmm.cli.follow import follow_progress, tell
from orbmm.cli.main import build_app
from orbmm.cli.run import describe_outcome
from orbmm.cli.screen import PlainFormatter, open_console, say
from orbmm.errors import RunError
from orbmm.simulation.run import Outcome

NAMES = ["[red]", "[/]", "[/red]HIS", "[link=file:///]x", ":smile:", "HIS 水", "Å"]


@pytest.mark.parametrize("name", NAMES)
def test_brackets_in_names_are_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = open_console()
    table = Table.grid()
    table.add_row(name)
    console.print(table)
    console.print(name, style="bold", soft_wrap=True)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [name, name]


def test_control_characters_are_shown_on_every_way_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name, shown = "a\x1b]0;title\x07\x9b2J\r\u202eb", r"a\x1b]0;title\x07\x9b2J\r\u202eb"
    console = open_console()
    table = Table.grid()
    table.add_row(name)
    console.print(table)
    console.print(name, soft_wrap=True)
    say(name)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [shown] * 3


def test_a_message_of_a_log_is_one_line_and_a_traceback_stays() -> None:
    try:
        raise RunError("first\nsecond")
    except RunError as error:
        record = logging.LogRecord("orbmm", logging.INFO, "", 0, "%s", ("a\nerror: \x1b[2J",), (RunError, error, None))
    lines = PlainFormatter("%(message)s").format(record).splitlines()
    assert lines[0] == r"a\nerror: \x1b[2J" and lines[-1] == "second"


def test_a_log_file_holds_no_control_characters(tmp_path: Path) -> None:
    logging.getLogger("orbmm").setLevel(logging.INFO)
    with pytest.raises(RunError), follow_progress(quiet=False, log=tmp_path / "log"):
        tell("in a\x1b[2J\nstopped in order", False, tmp_path / "log")
        raise RunError("b\x1b[2J" + "x" * 10_000_000)
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [line[20:60] for line in lines] == [r"in a\x1b[2J\nstopped in order", r"error: b\x1b[2J" + "x" * 25]
    assert len(lines[1]) < 800


def test_the_command_that_goes_on_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, word in {"$(touch x)": "'$(touch x)'", "-rf": "./-rf", "mine": "mine"}.items():
        outcome = Outcome(tmp_path / name, 5, finished=False)
        assert describe_outcome(outcome).endswith(f"go on with: orbmm resume {word}")


def test_a_warning_in_which_a_library_quotes_a_file_holds_no_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    assert CliRunner().invoke(build_app(), ["new"]).exit_code == 0
    text = warnings.formatwarning("duplicate atom \x1b[2J", UserWarning, "pdb\x9b.py", 3, "warn(...)")
    assert text == "pdb\\x9b.py:3: UserWarning: duplicate atom \\x1b[2J\n  warn(...)\n"
