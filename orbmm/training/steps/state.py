"""The state of a training: how it is saved, and what a resumed training must have in common with it."""

from __future__ import annotations

import logging
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from orbmm.errors import TrainingError
from orbmm.files import replace_file
from orbmm.model.network.orb import Orb
from orbmm.settings.training import TrainingSettings
from orbmm.training.steps.history import Row
from orbmm.training.steps.optimizer import MixedOptimizer

FILE = "training.pt"
_MAY_CHANGE = ("output", "save_every", "patience", "compile", "tensorboard")
_log = logging.getLogger(__name__)


@dataclass
class Course:
    """The state that changes from step to step.

    step: the number of finished steps; rows: one for each validation; best: the lowest force error so far [meV/Å]
    waited: validations since the best one
    """

    network: Orb
    average: Orb
    optimizer: MixedOptimizer
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best: float = float("inf")
    waited: int = 0


@dataclass(frozen=True)
class Identity:
    """All that decides the weights at each step.

    settings: by table and key; data_sha256: of all frames in their order, and of what each is for
    """

    data_sha256: str
    settings: dict[str, dict[str, Any]]


def identify(settings: TrainingSettings, data_sha256: str) -> Identity:
    """Return the identity of a training."""
    tables = {name: {key: _as_plain(value) for key, value in table.items()} for name, table in asdict(settings).items()}
    for key in _MAY_CHANGE:
        tables["run"].pop(key)
    for key in ("training", "validation"):
        tables["data"].pop(key)  # their content counts, in data_sha256, not where they lie
    tables["model"].pop("weights")
    tables["run"]["patience"] = "above 0" if settings.run.patience else "0"  # decides which weights are kept
    tables["replay"].pop("frames")
    tables.pop("confidence")  # refitted after the last step
    return Identity(data_sha256, tables)


def _as_plain(value: Any) -> Any:
    return list(map(str, value)) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def write_state(folder: Path, identity: Identity, course: Course) -> None:
    """Write the state; an incomplete file never appears."""
    state = {
        "identity": asdict(identity),
        "network": course.network.state_dict(),
        "average": course.average.state_dict(),
        "optimizer": course.optimizer.state_dict(),
        "course": {"step": course.step, "rows": course.rows, "best": course.best, "waited": course.waited},
    }
    with replace_file(folder / FILE) as partial:
        torch.save(state, partial)


def read_state(folder: Path, identity: Identity, course: Course) -> None:
    """Go on from the state in the folder, if there is one.

    Raises TrainingError for a state that is damaged or belongs to other data, settings or seed.
    """
    path = folder / FILE
    if not path.exists():
        return
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        saved = Identity(**state["identity"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is damaged: remove it to begin again, or bring back a copy") from error
    _refuse_other(path, saved, identity)
    course.network.load_state_dict(state["network"])
    course.average.load_state_dict(state["average"])
    course.optimizer.load_state_dict(state["optimizer"])
    for name, value in state["course"].items():
        setattr(course, name, value)
    _log.info("going on from step %d", course.step)


def _refuse_other(path: Path, saved: Identity, identity: Identity) -> None:
    if saved.data_sha256 != identity.data_sha256:
        raise TrainingError(
            f"{path} belongs to a training on other frames: give the frames it was begun with, or another output"
        )
    for table, values in identity.settings.items():
        for key, value in values.items():
            before = saved.settings.get(table, {}).get(key)
            if before != value:
                raise TrainingError(
                    f"{path} was begun with {key} = {before!r} in [{table}], now it is {value!r}: a resumed training "
                    "keeps its settings; give another output for a new one"
                )
