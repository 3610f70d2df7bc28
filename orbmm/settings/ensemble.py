"""The settings of an ensemble: one TOML file with the tables [ensemble], [sweep] and [scheduler]."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orbmm.errors import SettingsError, name_nearest
from orbmm.plain_text import describe_value
from orbmm.settings.field import Integers, Limits, Names, check_fields, setting, value_type
from orbmm.settings.paths import make_absolute
from orbmm.settings.settings import Settings
from orbmm.settings.system import LARGEST_SEED

SCHEDULERS = ("local", "address", "slurm", "pbs", "lsf")
STRUCTURES = "structures"
"""Key of [sweep] that names a folder of prepared structures."""

_STRUCTURE_SUFFIXES = (".pdb", ".cif")
_SIZE = r"\d+(\.\d+)? ?[kMGT]i?B"
_PROTOCOLS = ("tcp", "tls", "ws", "wss", "ucx", "ucxx")
_ADDRESS = rf"(({'|'.join(_PROTOCOLS)})://)?([\w.-]+|\[[0-9A-Fa-f:.]+(%\w+)?\]):(?P<port>\d{{1,5}})"
_LARGEST_PORT = 65535
_OF_JOBS = ("memory", "walltime", "queue", "account", "directives", "prologue")
_SWEPT = ("model", "run", "guard", "analysis")
_OF_SYSTEM = ("structure", "state")
_OWN = {"run.seed": "give `replicas` or `seeds` in [ensemble]", "run.output": "every replica has a folder of its own"}


@dataclass(frozen=True)
class EnsembleTable:
    """The table [ensemble]: the system, and how many runs of it with different seeds there are."""

    system: Path = setting("Settings file of the system, as for `orbmm run`.")
    output: Path | None = setting("Folder of the ensemble; absent: ensembles/<name> in the current folder.", None)
    replicas: int = setting(
        "Number of runs of each point of the sweep; their seeds count up from that of the system.",
        1,
        Limits(at_least=1, at_most=100_000),
    )
    seeds: Integers | None = setting("The seeds themselves, in place of `replicas`.", None)

    def __post_init__(self) -> None:
        check_fields(self)
        for seed in self.seeds or ():
            if not 1 <= seed <= LARGEST_SEED:
                raise SettingsError(f"seeds holds {seed}, but a seed must be at least 1 and at most {LARGEST_SEED}")
            if self.seeds and self.seeds.count(seed) > 1:
                raise SettingsError(
                    f"seeds holds {seed} twice: two replicas with one seed are the same run; remove one"
                )
        if self.seeds == ():
            raise SettingsError("seeds is an empty list; name at least one seed, or give `replicas`")
        if self.seeds is not None and self.replicas not in (1, len(self.seeds)):
            raise SettingsError(
                f"replicas is {self.replicas}, but seeds holds {len(self.seeds)}; remove one of the two"
            )


@dataclass(frozen=True)
class SchedulerSettings:
    """The table [scheduler]: where the replicas run, and how often one is tried again."""

    kind: str = setting(
        "local: processes on this machine; address: a running Dask scheduler; slurm, pbs, lsf: jobs of a cluster.",
        "local",
        Limits(choices=SCHEDULERS),
    )
    address: str | None = setting("Address of the running scheduler, such as tcp://host:8786.", None)
    workers: int | None = setting(
        "Number of local workers, or of jobs; absent: a worker for each GPU, else for each core; one job.",
        None,
        Limits(at_least=1, at_most=100_000),
    )
    retries: int = setting(
        "Number of times that a replica is tried again without a new checkpoint, before it counts as failed.",
        3,
        Limits(at_least=0),
    )
    gpus: Names | None = setting(
        "GPUs of local workers, one each, as in CUDA_VISIBLE_DEVICES; absent: all, unless `device` is cpu; []: none.",
        None,
    )
    threads: int = setting("Processor threads of a replica.", 1, Limits(at_least=1))
    memory: str | None = setting("Memory of a job; absent: 4GB.", None)
    walltime: str | None = setting("Longest time of a job, as the queue takes it, such as 24:00:00.", None)
    queue: str | None = setting("Queue or partition of the jobs.", None)
    account: str | None = setting("Account or project of the jobs.", None)
    directives: Names = setting('Further directives of a job script, such as "--gres=gpu:1".', ())
    prologue: Names = setting("Commands of a job script before the worker starts, such as those of a module.", ())

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.kind == "address") != (self.address is not None):
            raise SettingsError('address and kind = "address" belong together: give both, or none of them')
        if self.address is not None:
            _check_address(self.address)
        if self.kind == "address" and self.workers is not None:
            raise SettingsError('workers are started by you with kind = "address"; remove it, or choose another kind')
        if self.memory is not None and not re.fullmatch(_SIZE, self.memory):
            raise SettingsError(f"memory is {describe_value(self.memory)}, but must be a size such as 4GB or 500MiB")
        if self.kind != "local" and self.gpus is not None:
            raise SettingsError('gpus are those of kind = "local"; a job asks for its GPU in `directives`')
        jobs_only = [name for name in _OF_JOBS if getattr(self, name)]
        if self.kind in ("local", "address") and jobs_only:
            raise SettingsError(f'{jobs_only[0]} is for jobs of a cluster, but kind is "{self.kind}"; remove it')


def _check_address(address: str) -> None:
    """Raise SettingsError for a text that cannot be the address of a scheduler."""
    found = re.fullmatch(_ADDRESS, address)
    if found is None or not 1 <= int(found["port"]) <= _LARGEST_PORT:
        raise SettingsError(
            f"address is {describe_value(address)}, but must be protocol://host:port, such as tcp://host:8786, "
            f"with {', '.join(_PROTOCOLS)} as protocols; write what `dask scheduler` prints"
        )


@dataclass(frozen=True)
class SweepKey:
    """One key of [sweep]: a table and a key of a system's settings, and the values that it takes in turn."""

    table: str
    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class EnsembleSettings:
    """One ENSEMBLE.toml. sweep: from [sweep], which may name any key that a run depends on"""

    ensemble: EnsembleTable
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    sweep: tuple[SweepKey, ...] = ()


def read_sweep(table: Any, path: Path) -> tuple[SweepKey, ...]:
    """Return the keys of a table [sweep]. path: of the file, to which paths in it are relative

    Raises SettingsError for a key that a run does not have, or for anything but a list of different values.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path}: sweep is {describe_value(table)}, but must be a table that starts with [sweep]")
    keys = []
    for name, values in _flatten(table):
        try:
            keys.append(_read_structures(values, path) if name == STRUCTURES else _read_key(name, values, path))
        except SettingsError as error:
            raise SettingsError(f"{path}: [sweep] {error}") from error
    names = [(one.table, one.key) for one in keys]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: [sweep] {STRUCTURES} and system.structure are the same key; remove one of them")
    return tuple(keys)


def list_sweep_keys() -> list[str]:
    """Return the names that [sweep] can hold."""
    names = [f"system.{key}" for key in _OF_SYSTEM]
    for table in _SWEPT:
        names += [f"{table}.{one.name}" for one in dataclasses.fields(value_type(Settings, table))]
    return [STRUCTURES, *(name for name in names if name not in _OWN)]


def _flatten(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield "table.key" with its values, however the key is written: with or without quotes."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _read_key(name: str, values: Any, path: Path) -> SweepKey:
    table, _, key = name.partition(".")
    if name in _OWN:
        raise SettingsError(f"{name} cannot be swept: {_OWN[name]}")
    if table in ("system", "preparation") and key not in _OF_SYSTEM and _is_key(table, key):
        raise SettingsError(f"{name} acts on `orbmm prepare` only; prepare each box, and sweep over `{STRUCTURES}`")
    if name not in list_sweep_keys():
        raise SettingsError(f"unknown key {describe_value(name)}; {name_nearest(name, list_sweep_keys())}")
    if not isinstance(values, list) or not values:
        raise SettingsError(f"{name} is {describe_value(values)}, but must be a list of values")
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise SettingsError(f"{name} holds {describe_value(twice[0])} twice; remove one")
    if value_type(value_type(Settings, table), key) is Path:
        values = [make_absolute(Path(value), path.parent) if isinstance(value, str) else value for value in values]
    return SweepKey(table, key, tuple(values))


def _is_key(table: str, key: str) -> bool:
    return key in {one.name for one in dataclasses.fields(value_type(Settings, table))}


def _read_structures(value: Any, path: Path) -> SweepKey:
    """Return the structures in a folder as a sweep over system.structure."""
    if not isinstance(value, str):
        raise SettingsError(f"{STRUCTURES} is {describe_value(value)}, but must be the path of a folder")
    folder = make_absolute(Path(value), path.parent)
    if not folder.is_dir():
        raise SettingsError(f"{STRUCTURES} is {folder}, but there is no such folder")
    found = sorted(one for one in folder.iterdir() if one.suffix in _STRUCTURE_SUFFIXES and one.is_file())
    if not found:
        raise SettingsError(f"{STRUCTURES} is {folder}, which holds no {' or '.join(_STRUCTURE_SUFFIXES)} file")
    return SweepKey("system", "structure", tuple(found))
