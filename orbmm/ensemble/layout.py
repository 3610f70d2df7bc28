"""The files and folders of an ensemble on disk. Each replica has a run folder, which alone says where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orbmm.errors import RunError, UnsafeFile
from orbmm.files import read_json, write_file
from orbmm.run_files.layout import RunFolder

PLAN_NAME = "plan.json"
REPLICAS_NAME = "replicas"
BESIDE_REPLICAS = ("jobs", "analysis", "report.html")
"""Names that the folder of an ensemble may hold as well, once it holds replicas."""

_LARGEST_PLAN = 100_000_000  # bytes


@dataclass(frozen=True)
class Member:
    """A replica as plan.json names it.

    point: the swept keys with their values as text, empty without a sweep
    inputs: the sha256 of each input file, by its setting
    """

    name: str
    seed: int
    point: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def point_name(self) -> str:
        """Return the point of the sweep in words; "" without a sweep."""
        return ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in self.point.items())


@dataclass(frozen=True)
class ReplicaFolder:
    """The paths of one replica."""

    path: Path

    @property
    def settings(self) -> Path:
        """Return the path of the settings that the run is started with."""
        return self.path / "system.toml"

    @property
    def run(self) -> RunFolder:
        """Return the run folder."""
        return RunFolder(self.path / "run")

    @property
    def is_begun(self) -> bool:
        """Return whether the run has begun, so that it is resumed."""
        return self.run.record.is_file() and self.run.settings.is_file()

    @property
    def log(self) -> Path:
        """Return the path of the messages of the run."""
        return self.path / "run.log"

    @property
    def failure(self) -> Path:
        """Return the path of the sentence that says why the replica was given up; absent otherwise."""
        return self.path / "failed.txt"


@dataclass(frozen=True)
class EnsembleFolder:
    """The paths of one ensemble."""

    path: Path

    @property
    def plan(self) -> Path:
        """Return the path of the names, seeds and points of all replicas."""
        return self.path / PLAN_NAME

    @property
    def jobs(self) -> Path:
        """Return the folder for the messages of the jobs of a cluster."""
        return self.path / "jobs"

    def replica(self, name: str) -> ReplicaFolder:
        """Return the folder of a replica."""
        return ReplicaFolder(self.path / REPLICAS_NAME / name)


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder is that of an ensemble."""
    return EnsembleFolder(folder).plan.is_file()


def write_members(folder: EnsembleFolder, members: tuple[Member, ...]) -> None:
    """Write plan.json."""
    write_file(folder.plan, json.dumps([asdict(member) for member in members], indent=1).encode())


def read_members(folder: EnsembleFolder) -> tuple[Member, ...]:
    """Return the replicas of an ensemble. Raises RunError for a folder that is none, or a damaged plan.json."""
    try:
        return tuple(_read_member(entry) for entry in read_json(folder.plan, _LARGEST_PLAN))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{folder.path} is not the folder of an ensemble: it has no {PLAN_NAME}") from error
    except (OSError, UnsafeFile, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{folder.plan} is damaged ({error}); remove it and give `orbmm ensemble` its settings again"
        ) from error


def _read_member(entry: Any) -> Member:
    """Return an entry of plan.json. Raises what a wrong type raises; ValueError for a name that leads elsewhere."""
    name = str(entry["name"])
    point, inputs = (
        {str(key): str(value) for key, value in table.items()} for table in (entry["point"], entry.get("inputs", {}))
    )
    if Path(name).name != name or name == "..":
        raise ValueError(f"{name} is not the name of a folder")
    return Member(name, int(entry["seed"]), point, inputs)
