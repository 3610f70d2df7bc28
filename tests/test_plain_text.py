"""Text from elsewhere reaches terminal, log and shell as text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orbmm.plain_text import LONGEST_LINE, describe_value, escape_controls, make_line, quote_command

CONTROLS = {
    "a\x1b[31mred": r"a\x1b[31mred",
    "bell\x07": r"bell\x07",
    "over\rwritten": r"over\rwritten",
    "two\nlines": r"two\nlines",
    "back\x08": r"back\x08",
    "\x9b2J": r"\x9b2J",
    "gpj.\u202etext": r"gpj.\u202etext",
    "\u2066isolated": r"\u2066isolated",
    "line\u2028end": r"line\u2028end",
    "\ufeffmark": r"\ufeffmark",
    "lone\ud800": r"lone\ud800",
    "\U000e0041tag": r"\U000e0041tag",
}
READABLE = ["Wasser für Käfer", "αβγ-Å", "水 盒子", "می‌خواهم", "naïve e\u0301", "a\\b", "[red]", "👩‍🔬"]


@pytest.mark.parametrize("text", CONTROLS)
def test_control_characters_are_written_out(text: str) -> None:
    assert escape_controls(text) == CONTROLS[text]


@pytest.mark.parametrize("text", READABLE)
def test_letters_of_all_languages_stay_as_they_are(text: str) -> None:
    assert escape_controls(text) == make_line(text) == text


def test_a_long_line_keeps_its_beginning_and_its_end() -> None:
    line = make_line("file.toml: " + "x" * 10_000_000 + "; correct it")
    assert len(line) <= LONGEST_LINE
    assert line.startswith("file.toml: x") and line.endswith("x; correct it")


def test_a_value_is_described_in_few_characters() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    values = (
        "x" * 10_000_000,
        deep,
        10**5000,
        16**100_000,
        list(range(10**5)),
        {"a": {"b": {"c": 1}}},
        Path("y" * 999),
    )
    for value in values:
        assert len(describe_value(value)) < 200
    assert [describe_value(value) for value in ("1 ns", 3, 0.5, True, [1, "a"])] == [
        "'1 ns'",
        "3",
        "0.5",
        "True",
        "[1, 'a']",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "my run",
        "it's",
        '"q"',
        "$(touch made)",
        "`touch made`",
        "a;touch made",
        "a\nb",
        "a\\b\x1b[0m",
        "&|<>*?~#!",
        "水",
    ],
)
def test_a_shell_reads_a_printed_command_as_the_words_it_was_made_of(name: str, tmp_path: Path) -> None:
    command = quote_command("printf", r"%s\0", Path(name), "last")
    assert escape_controls(command) == command, "it is shown as it has to be typed"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split("\0") == [name, "last", ""]
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_looks_like_an_option_is_none() -> None:
    assert quote_command("orbmm", "resume", "--quiet", Path("-rf")) == "orbmm resume --quiet ./-rf"
    assert quote_command("orbmm", "resume", Path("runs/-rf")) == "orbmm resume runs/-rf"
