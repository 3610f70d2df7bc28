"""What was measured is kept, and used only where it was measured."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from orbmm.model.inference.execution import Execution
from orbmm.tuning.record import Machine, Record, Row, Situation, find_path, find_rung, keep_record, read_record

MACHINE = Machine("a processor", 2, "", "2.9.1", "")
SITUATION = Situation("a network", "0" * 64, "float64", True, 256, {"memory": "lean"}, MACHINE, "code")
ROWS = (
    Row(Execution(threads=2), 0.2, 0.4, 1.0),
    Row(Execution(threads=1), 0.1, 0.1, 1.0),
    Row(Execution(threads=1, compile=True), math.inf, math.inf, math.inf, "no compiler"),
)
RECORD = Record(SITUATION, ("threads", "compile"), ROWS)


def test_a_record_is_read_as_it_was_kept() -> None:
    assert read_record(SITUATION) is None
    keep_record(RECORD)
    assert read_record(SITUATION) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"weights_sha256": "1" * 64},
        {"precision": "float16"},
        {"periodic": False},
        {"atoms": 362},
        {"fixed": {"memory": "fast"}},
        {"machine": dataclasses.replace(MACHINE, name="another")},
        {"machine": dataclasses.replace(MACHINE, cores=4)},
        {"machine": dataclasses.replace(MACHINE, torch="2.10")},
        {"code": "newer"},
    ],
    ids=str,
)
def test_another_situation_has_no_record(change: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    keep_record(RECORD)
    other = dataclasses.replace(SITUATION, **change)
    assert read_record(other) is None
    find_path(other).write_bytes(find_path(SITUATION).read_bytes())  # a copy from another machine
    assert read_record(other) is None
    assert "was measured elsewhere, or by another version: it is not used" in caplog.text


def edit(**changes: object) -> str:
    return json.dumps({**RECORD.to_dict(), **changes})


def replace_execution(**changes: object) -> dict[str, object]:
    row = dataclasses.asdict(ROWS[0])
    return {**row, "execution": {**row["execution"], **changes}}


DAMAGE = {
    "torn": lambda: edit()[:200],
    "empty": lambda: "",
    "no JSON": lambda: "\x00\x01",
    "a list": lambda: "[]",
    "another format": lambda: edit(format=99),
    "no rows": lambda: edit(rows=[]),
    "negative time": lambda: edit(rows=[dataclasses.asdict(dataclasses.replace(ROWS[0], evaluation_s=-1.0))]),
    "time as text": lambda: edit(rows=[{**dataclasses.asdict(ROWS[0]), "cpu_s": "1"}]),
    "kernels as a number": lambda: edit(rows=[replace_execution(kernels=5)]),
    "compile as text": lambda: edit(rows=[replace_execution(compile="yes")]),
    "impossible threads": lambda: edit(rows=[replace_execution(threads=-1)]),
    "threads as text": lambda: edit(rows=[replace_execution(threads="2")]),
    "unknown execution": lambda: edit(rows=[{**dataclasses.asdict(ROWS[0]), "execution": {"speed": 1}}]),
    "unknown setting": lambda: edit(varied=["name"]),
    "setting that nothing measures": lambda: edit(varied=["memory"]),
    "fault as a number": lambda: edit(rows=[{**dataclasses.asdict(ROWS[0]), "fault": 1}]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_not_used_and_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    keep_record(RECORD)
    find_path(SITUATION).write_text(DAMAGE[kind](), encoding="utf-8")
    assert read_record(SITUATION) is None
    assert "not used" in caplog.text
    keep_record(RECORD)
    assert read_record(SITUATION) == RECORD


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "file"))
    assert keep_record(RECORD) is None
    assert "cannot be kept" in caplog.text and "measured again next time" in caplog.text


def test_sizes_within_some_19_percent_share_a_rung() -> None:
    atoms = np.arange(10, 100_000, 37)
    ratios = atoms / np.array([find_rung(int(each)) for each in atoms])
    assert ratios.min() > 2**-0.25 - 0.02 and ratios.max() < 2**0.25 + 0.02
    assert find_rung(1) == 1 and find_rung(256) == 256 and find_rung(999) == find_rung(1000) == 1024
