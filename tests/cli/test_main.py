"""The command line's frame: help, version, one-line errors, exit codes."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

from orbmm.cli import main as command_line
from orbmm.errors import ModelError, OrbmmError, UnstableRun

COMMANDS = ("new", "models", "doctor", "benchmark", "prepare", "run", "resume", "analyze")


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> Result:
    """Run `orbmm OPTIONS fail` on a command line whose command raises an error."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(command_line, "PANELS", {"Commands": (fail,)})
    return CliRunner().invoke(command_line.build_app(), [*options, "fail"])


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(command_line.build_app(), ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(command_line.build_app(), [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def list_lost_words(app: typer.Typer, command: str) -> list[str]:
    """Return the words of the options' texts that the help of a command does not show."""
    group = typer.main.get_command(app)
    texts = [getattr(each, "help", None) or "" for each in group.commands[command].params]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"]).output
    return [word for text in texts for word in text.split() if word not in shown]


@pytest.mark.parametrize("command", sorted(typer.main.get_command(command_line.build_app()).commands))
def test_help_shows_every_word_of_every_option(command: str) -> None:
    assert list_lost_words(command_line.build_app(), command) == []


def test_a_unit_in_brackets_is_lost_and_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(length: Annotated[float, typer.Option(help="Total length [ps].")] = 1.0) -> None:
        """Do nothing."""

    monkeypatch.setattr(command_line, "PANELS", {"Commands": (act, command_line.doctor)})
    assert list_lost_words(command_line.build_app(), "act") == ["[ps]."]


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(command_line.build_app(), ["--version"]).output.startswith("orbmm ")


@pytest.mark.parametrize(("error", "code"), [(ModelError("no such model"), 2), (UnstableRun("it blew up"), 3)])
def test_an_error_is_one_line_and_an_exit_code(monkeypatch: pytest.MonkeyPatch, error: OrbmmError, code: int) -> None:
    result = run_with(monkeypatch, error)
    assert result.exit_code == code
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""


def test_control_characters_of_an_error_are_shown_and_a_long_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, ModelError("no model is called 'a\x1b[2J\r\u202eb\nerror: [red]水[/]'"))
    assert result.stderr == "error: no model is called 'a\\x1b[2J\\r\\u202eb\\nerror: [red]水[/]'\n"
    result = run_with(monkeypatch, ModelError("x" * 10_000_000))
    assert len(result.stderr) < 800


def test_control_characters_of_a_wrong_option_are_shown() -> None:
    result = CliRunner().invoke(command_line.build_app(), ["run", "--\x1b[2J"])
    assert result.exit_code == 2 and "\\x1b[2J" in result.stderr and "\x1b" not in result.stderr


def test_debug_shows_the_error_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModelError("no such model")
    assert run_with(monkeypatch, error, "--debug").exception is error


def test_an_unexpected_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ZeroDivisionError("a mistake of ours")
    assert run_with(monkeypatch, error).exception is error


def test_an_unknown_command_is_bad_input() -> None:
    result = CliRunner().invoke(command_line.build_app(), ["simulate"])
    assert result.exit_code == 2
    assert "simulate" in result.stderr


def test_an_interruption_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, KeyboardInterrupt())
    assert result.exit_code in (1, 130)
    assert "Traceback" not in result.output


def test_the_console_script_is_this_one() -> None:
    (script,) = entry_points(group="console_scripts", name="orbmm")
    assert script.load() is command_line.main
