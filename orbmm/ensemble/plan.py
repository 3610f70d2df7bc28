"""Turn the settings of an ensemble into replicas, each with the complete settings of a run."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbmm.ensemble.layout import EnsembleFolder, Member
from orbmm.errors import SettingsError
from orbmm.settings import EnsembleSettings, Settings, StageSettings, SweepKey, override_settings, read_settings
from orbmm.settings.paths import check_name
from orbmm.settings.system import LARGEST_SEED

_UNFIT = re.compile(r"[^\w.+-]+")
MOST_REPLICAS = 100_000


@dataclass(frozen=True)
class Replica:
    """One run of an ensemble: its entry in plan.json, and its settings with seed and run folder."""

    member: Member
    settings: Settings

    @property
    def name(self) -> str:
        """Return the name of the replica, which is that of its folder."""
        return self.member.name


@dataclass(frozen=True)
class Plan:
    """All replicas of an ensemble, the points of the sweep one after the other."""

    folder: EnsembleFolder
    settings: EnsembleSettings
    replicas: tuple[Replica, ...]


def plan_ensemble(settings: EnsembleSettings) -> Plan:
    """Return the replicas: every combination of the values of the sweep, with every seed. Nothing is written.

    Raises SettingsError for a value that a run cannot have, or a sweep that does not reach the run.
    """
    system = read_settings(settings.ensemble.system)
    _check_reach(system, settings.sweep)
    output = settings.ensemble.output or Path("ensembles") / system.system.name
    folder = EnsembleFolder(output.resolve())
    seeds = _list_seeds(settings, system)
    count = len(seeds)
    for one in settings.sweep:
        count *= len(one.values)
    if count > MOST_REPLICAS:
        raise SettingsError(f"the ensemble would have {count:,} replicas, but can have {MOST_REPLICAS:,}; shorten it")
    replicas = tuple(
        _make_replica(folder, point, swept, seed) for point, swept in _sweep(system, settings.sweep) for seed in seeds
    )
    _refuse_twins(replicas)
    return Plan(folder, settings, replicas)


def _list_seeds(settings: EnsembleSettings, system: Settings) -> tuple[int, ...]:
    first = system.run.seed
    seeds = settings.ensemble.seeds or tuple(range(first, first + settings.ensemble.replicas))
    if seeds[-1] > LARGEST_SEED:
        raise SettingsError(
            f"seeds would count up to {seeds[-1]}, beyond {LARGEST_SEED}; choose a smaller seed in [run]"
        )
    return seeds


def _sweep(system: Settings, keys: tuple[SweepKey, ...]) -> Iterator[tuple[dict[str, Any], Settings]]:
    """Yield each point of the sweep, by its keys, with the settings of the system there."""
    names = [f"{one.table}.{one.key}" for one in keys]
    for values in itertools.product(*(one.values for one in keys)):
        changes: dict[str, dict[str, Any]] = {}
        for one, value in zip(keys, values, strict=True):
            changes.setdefault(one.table, {})[one.key] = value
        point = dict(zip(names, values, strict=True))
        try:
            yield point, override_settings(system, changes)
        except SettingsError as error:
            said = ", ".join(f"{name} = {value}" for name, value in point.items())
            raise SettingsError(f"[sweep] {said}: {error}") from error


def _make_replica(folder: EnsembleFolder, point: dict[str, Any], settings: Settings, seed: int) -> Replica:
    words = {name: value.stem if isinstance(value, Path) else str(value) for name, value in point.items()}
    parts = [f"{name.partition('.')[2]}-{_UNFIT.sub('-', word)}" for name, word in words.items()]
    name = "_".join([*parts, f"seed-{seed}"])
    check_name(name)
    output = folder.replica(name).run.path
    settings = override_settings(settings, {"run": {"seed": seed, "output": output}})
    return Replica(Member(name, seed, words), settings)


def _refuse_twins(replicas: tuple[Replica, ...]) -> None:
    """Raise SettingsError if two replicas would have one folder."""
    name, times = Counter(replica.name for replica in replicas).most_common(1)[0]
    if times > 1:
        raise SettingsError(
            f"{times} replicas would have the name {name}: rename the files, or sweep over other values"
        )


def _check_reach(system: Settings, keys: tuple[SweepKey, ...]) -> None:
    """Raise SettingsError for a swept key whose value would not act, because something else in the settings does."""
    swept = {f"{one.table}.{one.key}" for one in keys}
    if "system.structure" in swept and system.system.state is not None and "system.state" not in swept:
        raise SettingsError(
            f"the structures of the sweep would not be used: state is {system.system.state}, whose positions replace "
            "them; remove state from [system]"
        )
    shared = {field.name for field in dataclasses.fields(StageSettings)}
    for one in keys:
        if one.table != "run" or one.key not in shared:
            continue
        for number, stage in enumerate(system.stage, start=1):
            own = getattr(stage, one.key)
            if own is not None and (one.key != "length_ps" or stage.kind == "produce"):
                raise SettingsError(
                    f"the sweep over run.{one.key} would not reach [[stage]] {number}, whose {one.key} is {own}; "
                    "remove it there"
                )
