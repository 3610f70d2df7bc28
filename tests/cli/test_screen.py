"""Whatever a name holds, the terminal shows it and does nothing else."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from orbmm.cli.follow import _describe, follow_progress, tell
from orbmm.cli.main import build_app
from orbmm.cli.run import describe_outcome
from orbmm.cli.screen import PlainFormatter, ScreenHandler, open_console, say, wrap_words
from orbmm.errors import RunError
from orbmm.simulation.progress import Progress
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


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


VERDICT = "stable: temperature 303 ± 2 K (run too short to be sure), heavy-atom RMSD 0.31 Å, " + "/a/path" * 9


@pytest.mark.parametrize("width", [40, 80])
def test_a_terminal_shows_whole_words_and_paths(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = wrap_words(VERDICT, Terminal()).split("\n")
    assert len(lines) > 1 and " ".join(lines) == VERDICT
    assert [line for line in lines if len(line) > width] == [line for line in lines if "/a/path" in line and width < 63]


def test_a_pipe_gets_each_message_as_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert wrap_words(VERDICT, io.StringIO()) == VERDICT


def test_messages_go_to_the_stream_that_a_bar_of_progress_has_put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = ScreenHandler("stdout")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", Terminal())
    handler.emit(logging.LogRecord("orbmm", logging.INFO, "", 0, "four words here", None, None))
    say("and in say")
    assert sys.stdout.getvalue() == "four words here\nand in say\n"


PROGRESS = Progress("produce", 100, 20000, 0.05, 0.309, 3.0, 301.2, -1275755.13)


@pytest.mark.parametrize(
    ("progress", "width", "line"),
    [
        (PROGRESS, None, "step 100/20000  0.050 ps  301 K  -1275755.1 kJ/mol  0.309 ns/day  0:00:03 left"),
        (PROGRESS, 72, "step 100/20000  0.050 ps  301 K  0.309 ns/day  0:00:03 left"),
        (PROGRESS, 32, "step 100/20000  0:00:03 left"),
        (PROGRESS, 10, "step 100/20000"),
    ],
)
def test_progress_leaves_out_what_there_is_no_room_for(progress: Progress, width: int | None, line: str) -> None:
    assert _describe(progress, width) == line


def test_before_the_first_step_neither_speed_nor_energy_are_made_up() -> None:
    start = Progress("heat", 0, 20, 0.0, 0.0, 0.0, 294.0, float("nan"))
    assert _describe(start) == "heat  step 0/20  0.000 ps  294 K"
