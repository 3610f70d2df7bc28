"""The screen of `orbmm prepare`: every titratable residue in few lines, and a bar only where somebody looks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orbmm.cli.preparation_screen import describe_protonation, follow_preparation
from orbmm.errors import PreparationError
from orbmm.preparation.hydrogens.protonation import Protonation

BOND = "pH 7, the better hydrogen bond"
ENTRIES = (
    Protonation("HIS A:4", "HID", BOND),
    Protonation("HIS A:64", "HIP", "asked for"),
    Protonation("HIS A:10", "HID", BOND),
    Protonation("HIS A:119", "HIE", "binds ZN A:262 through ND1"),
    Protonation("ASP A:19", "ASP", "pH 7"),
    Protonation("ASP A:26", "ASP", "pH 7"),
    Protonation("ASP A:30", "ASP", "binds ZN A:262 through OD1"),
    Protonation("GLU A:14", "GLH", "asked for"),
    Protonation("LYS A:8", "LYS", "pH 7"),
    Protonation("CYS A:9", "CYX", "disulfide"),
    Protonation("HOH A:263", "HOH", "binds ZN A:262"),
)


def test_every_titratable_residue_is_named_or_counted() -> None:
    assert list(describe_protonation(ENTRIES)) == [
        "ASP as ASP: A:30 (binds ZN A:262 through OD1)",
        "CYS as CYX: A:9 (disulfide)",
        "GLU as GLH: A:14 (asked for)",
        f"HIS as HID: A:4, A:10 ({BOND})",
        "HIS as HIE: A:119 (binds ZN A:262 through ND1)",
        "HIS as HIP: A:64 (asked for)",
        "HOH as HOH: A:263 (binds ZN A:262)",
        "2 ASP charged, 1 LYS charged",
    ]


def draw(console: Console, stream: io.StringIO) -> str:
    with follow_preparation(console) as on_progress:
        on_progress("minimising", 0.25)
        on_progress("minimising", 1.0)
        stream.write("[a line of the log]")
        on_progress("equilibrating", 0.5)
        on_progress("equilibrating", 1.0)
    return stream.getvalue()


def test_a_terminal_shows_the_stage_and_how_much_of_it_is_done() -> None:
    stream = io.StringIO()
    before, after = draw(Console(file=stream, force_terminal=True, width=80), stream).split("[a line of the log]")
    assert "minimising" in before and "25%" in before
    assert "equilibrating" in after and "50%" in after and "minimising" not in after


def test_elsewhere_nothing_is_drawn() -> None:
    stream = io.StringIO()
    assert draw(Console(file=stream, force_terminal=False), stream) == "[a line of the log]"


def test_the_bar_is_taken_away_when_a_stage_fails() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with pytest.raises(PreparationError), follow_preparation(console) as on_progress:
        on_progress("minimising", 0.25)
        raise PreparationError("atoms overlap")
    assert stream.getvalue().endswith("\x1b[2K"), "the line is erased"


def test_a_chain_with_spaces_in_its_name_is_described() -> None:
    entries = (Protonation("HIS A B:4", "HID", BOND), Protonation("ASP :3", "ASP", "pH 7"))
    assert list(describe_protonation(entries)) == [f"HIS as HID: A B:4 ({BOND})", "1 ASP charged"]
