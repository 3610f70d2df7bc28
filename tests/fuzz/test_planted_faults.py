"""The search finds each kind of fault where one is planted into a reader, so that a clean search means something."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import doors
from fuzz.child import Child
from fuzz.counts import count_pdb
from fuzz.doors import Read, read_start_of_run
from fuzz.places import Place, search
from fuzz.seeds import list_pdb

EXAMPLES = 40


def lose_an_atom(path: Path) -> Read:
    return Read(read_start_of_run(path).atoms - 1)


def add_an_atom(path: Path) -> Read:
    return Read(read_start_of_run(path).atoms + 1)


def read_nan(path: Path) -> Read:
    return Read(read_start_of_run(path).atoms, finite=False)


def let_an_error_through(path: Path) -> Read:
    read = read_start_of_run(path)
    if b"nan" in path.read_bytes() or path.stat().st_size < 1300:
        raise KeyError("A")
    return read


def wait(path: Path) -> Read:
    while path.exists():
        time.sleep(0.01)
    return Read(1)


@pytest.mark.parametrize("reader", [lose_an_atom, add_an_atom, read_nan, let_an_error_through])
def test_a_planted_fault_is_found(reader: Callable[[Path], Read], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doors.DOORS, "planted", reader)
    with pytest.raises((AssertionError, KeyError, ExceptionGroup)):
        search(Place("planted", ".pdb", lambda: list_pdb()[:1], count_pdb), EXAMPLES, repeatable=True)


def test_without_a_fault_the_same_search_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doors.DOORS, "planted", read_start_of_run)
    search(Place("planted", ".pdb", lambda: list_pdb()[:1], count_pdb), EXAMPLES, repeatable=True)


def test_a_reader_that_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "LONGEST_S", 0.2)
    with pytest.raises(AssertionError, match=r"no answer within 0\.2 s"):
        doors.ask_content(wait, b"", "file.pdb")


def test_a_process_that_ends_is_a_fault_and_another_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "start.pdb"
    path.write_bytes(list_pdb()[0])
    child = Child()
    with pytest.raises(AssertionError, match="the process ended with -6"):
        child.ask("end_the_process", path)
    assert child.ask("read_start_of_run", path).read.atoms == 14
    child.stop()
