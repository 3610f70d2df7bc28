"""The record of a measurement: what was measured where, and the file that keeps it in the cache."""

from __future__ import annotations

import json
import logging
import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from orbmm.errors import ModelError, SettingsError, UnsafeFile
from orbmm.files import make_folder, read_json, write_file
from orbmm.first_contact.record import describe_card, hash_fields
from orbmm.model.inference.execution import Execution
from orbmm.settings.model import ModelSettings
from orbmm.settings.paths import cache_folder
from orbmm.tuning.candidates import OPEN

FORMAT = 1
RUNGS_PER_DOUBLING = 2
"""Systems whose numbers of atoms differ by less than some 20% from a rung share a measurement."""

_LARGEST_BYTES = 1_000_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """A GPU or a processor with its software. cores: the most threads that torch takes here, 0 for a GPU"""

    name: str
    cores: int
    driver: str
    torch: str
    cuda: str


@dataclass(frozen=True)
class Situation:
    """All that a measurement depends on. A change of any field makes a new one.

    atoms: a rung of the ladder of sizes; fixed: settings of the execution that the user has decided
    code: hash of the code that computes
    """

    model: str
    weights_sha256: str
    precision: str
    periodic: bool
    atoms: int
    fixed: dict[str, Any]
    machine: Machine
    code: str

    @property
    def key(self) -> str:
        """Return a short text that differs for every other situation."""
        return hash_fields(FORMAT, asdict(self))


@dataclass(frozen=True)
class Row:
    """A candidate and what it took.

    evaluation_s, cpu_s: medians of an evaluation, wall time and processor time of all threads [s]
    first_s: of the first evaluation, with a compilation; fault: why it cannot be taken, None if its answers pass
    """

    execution: Execution
    evaluation_s: float
    cpu_s: float
    first_s: float
    fault: str | None = None


@dataclass(frozen=True)
class Record:
    """A situation and its rows, in the order of measurement. varied: the settings that the rows decide"""

    situation: Situation
    varied: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; an infinite time, of a candidate that failed, becomes None."""
        rows = [{name: _or_none(value) for name, value in asdict(row).items()} for row in self.rows]
        return {"format": FORMAT, "situation": asdict(self.situation), "varied": self.varied, "rows": rows}


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_machine(device: torch.device) -> Machine:
    """Return the machine that computes on this device."""
    if device.type == "cuda":
        card = describe_card(device)
        return Machine(card.name, 0, card.driver, card.torch, card.cuda)
    return Machine(_read_processor(), torch.get_num_threads(), "", torch.__version__, "")


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def find_rung(atoms: int) -> int:
    """Return the rung of the ladder of sizes that is nearest to a number of atoms."""
    return round(2.0 ** (round(RUNGS_PER_DOUBLING * math.log2(max(1, atoms))) / RUNGS_PER_DOUBLING))


def read_record(situation: Situation) -> Record | None:
    """Return what is kept of a situation, None if there is nothing or it cannot be used, which is logged."""
    path = find_path(situation)
    try:
        kept = read_json(path, _LARGEST_BYTES)
        if kept["format"] != FORMAT or kept["situation"] != json.loads(json.dumps(asdict(situation))):
            _LOG.warning("%s was measured elsewhere, or by another version: it is not used", path)
            return None
        return _parse(kept, situation)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ModelError, SettingsError, UnsafeFile) as error:
        _LOG.warning("%s cannot be read (%s): it is not used", path, error)
        return None


def keep_record(record: Record) -> Path | None:
    """Keep a measurement in the cache and return its path; None, with a log line, where the cache cannot be written."""
    path = find_path(record.situation)
    try:
        make_folder(path.parent)
        write_file(path, (json.dumps(record.to_dict(), indent=1) + "\n").encode())
    except OSError as error:
        _LOG.warning("what was measured cannot be kept (%s): it is measured again next time", error)
        return None
    return path


def find_path(situation: Situation) -> Path:
    """Return the file of a situation in the cache."""
    return cache_folder() / "tuning" / f"{situation.key}.json"


def _parse(kept: dict[str, Any], situation: Situation) -> Record:
    """Return the record in a file. Raises KeyError, TypeError, ValueError, ModelError or SettingsError."""
    varied, rows = kept["varied"], tuple(_parse_row(entry) for entry in kept["rows"])
    if not rows or not isinstance(varied, list) or not all(isinstance(name, str) and name in OPEN for name in varied):
        raise ValueError("it holds no measurement")
    return Record(situation, tuple(varied), rows)


def _parse_row(entry: dict[str, Any]) -> Row:
    times = [math.inf if entry[name] is None else entry[name] for name in ("evaluation_s", "cpu_s", "first_s")]
    fault = entry["fault"]
    if not all(type(value) in (int, float) and value >= 0.0 for value in times):
        raise ValueError("a time is not a positive number")
    if not (fault is None or isinstance(fault, str)):
        raise ValueError("a fault is not text")
    execution = {name: entry["execution"][name] for name in Execution.__dataclass_fields__}
    checked = ModelSettings(**execution)  # raises for values of another type
    return Row(Execution.from_settings(checked), times[0], times[1], times[2], fault)
