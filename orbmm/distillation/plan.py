"""The plan of a distillation: all that decides its result, and the settings of each part."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import TrainingError
from orbmm.files import make_folder, read_json, write_file
from orbmm.settings import ModelSettings, Settings, TrainingSettings, format_settings, override_settings
from orbmm.settings.paths import OWN_NAME, is_weights_path
from orbmm.settings.training import DataSettings, OptimizerSettings, TrainedModelSettings, TrainingRunSettings

_RECORD = "distillation.json"
_HASHES = "weights_sha256"
_LARGEST_RECORD_BYTES = 1_000_000
_VALIDATIONS = 10
SMALL_NETWORK = 100
"""Latent dimension up to which a student is trained with Muon and larger steps, as the embedded networks were."""


@dataclass(frozen=True)
class Sampling:
    """The teacher's dynamics.

    frames: in all runs together; every_fs: time between two of them
    temperatures: of one run each [K]; empty: that of the system, and a third above it
    """

    frames: int = 400
    every_fs: float = 50.0
    temperatures: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plan:
    """One distillation.

    teacher, student: names of the catalogue, or weights files with a record; the student begins with those weights
    system: whose [run], [guard] and structure are used; name: of the student
    steps: of the training; rollout_ps: length of the student's own dynamics
    """

    teacher: str
    system: Settings
    folder: Path
    student: str
    sampling: Sampling = Sampling()
    steps: int = 2000
    rollout_ps: float = 1.0

    @property
    def name(self) -> str:
        """Return the name of the student."""
        return f"{self.system.system.name}-student"

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Return the temperatures of the teacher's runs [K]."""
        own = self.system.run.temperature_kelvin
        return tuple(dict.fromkeys(self.sampling.temperatures)) or (own, float(round(1.3 * own)))

    @property
    def frames(self) -> Path:
        """Return the file of the labelled frames."""
        return self.folder / "labelled.npz"

    @property
    def training(self) -> Path:
        """Return the settings of the training, which may be changed before it begins."""
        return self.folder / "training.toml"

    def plan_dynamics(self, temperature_kelvin: float) -> Settings:
        """Return the settings of the teacher's run at a temperature."""
        share = -(-self.sampling.frames // len(self.temperatures))
        length_ps = share * self.sampling.every_fs / 1000.0
        path = self.folder / f"dynamics-{temperature_kelvin:g}K"
        return self._plan_run(self.teacher, path, length_ps, temperature_kelvin, self.sampling.every_fs)

    def plan_rollout(self, weights: Path | None = None) -> Settings:
        """Return the settings of the student's own run. weights: the trained ones; None: those it begins with"""
        own, model = self.system.run, self.student if weights is None else str(weights)
        return self._plan_run(
            model, self.folder / "rollout", self.rollout_ps, own.temperature_kelvin, own.frame_every_fs
        )

    def _plan_run(
        self, model: str, output: Path, length_ps: float, temperature_kelvin: float, frame_every_fs: float
    ) -> Settings:
        """Return the settings of a run at constant volume; the stages of the system are left out."""
        changes: dict[str, dict[str, Any]] = {
            "run": {
                "output": output,
                "length_ps": length_ps,
                "temperature_kelvin": temperature_kelvin,
                "frame_every_fs": frame_every_fs,
                "frame_atoms": "all",
            }
        }
        run = replace(self.system.run, outer_steps=None)
        alone = replace(self.system, model=_choose_model(self.system.model, model), run=run, stage=())
        return override_settings(alone, changes)

    def plan_training(self) -> TrainingSettings:
        """Return the settings with which the student learns from the teacher's labels."""
        teacher, student = self.find_records()
        small = student.architecture.latent_dim <= SMALL_NETWORK
        return TrainingSettings(
            model=TrainedModelSettings(
                name=self.name,
                level_of_theory=teacher.level_of_theory,
                start=OWN_NAME if is_weights_path(self.student) else self.student,
                weights=Path(self.student).resolve() if is_weights_path(self.student) else None,
                purpose=f"student of {teacher.name} for {self.system.system.name}",
                dispersion=teacher.dispersion or "not stated",
            ),
            data=DataSettings(training=(self.frames,), energy_unit="eV", force_unit="eV/Å"),
            optimizer=OptimizerSettings(
                optimizer="muon" if small else "adamw", steps=self.steps, learning_rate=2e-3 if small else 2e-4
            ),
            run=TrainingRunSettings(
                output=self.folder / "training",
                seed=self.system.run.seed,
                validate_every=max(1, self.steps // _VALIDATIONS),
            ),
        )

    def find_records(self) -> tuple[CheckpointRecord, CheckpointRecord]:
        """Return the records of teacher and student. Raises ModelError and CheckpointError."""
        return resolve_record(self.teacher), resolve_record(self.student)

    def _check_charge(self, record: CheckpointRecord) -> None:
        charge, multiplicity = self.system.model.charge, self.system.model.multiplicity
        if charge and not record.takes_charge:
            raise TrainingError(
                f"[model] has charge = {charge}, but {record.name} does not take a charge: name another"
            )
        if record.takes_charge and (charge is None or multiplicity is None):
            raise TrainingError(f"{record.name} takes charge and multiplicity: set both in [model] of the system")

    def keep(self) -> None:
        """Check all settings and write the plan to its folder. Raises TrainingError if another one was begun there."""
        for record in self.find_records():
            self._check_charge(record)
        for temperature in self.temperatures:
            self.plan_dynamics(temperature)
        self.plan_rollout()
        facts = {
            "teacher": self.teacher,
            "student": self.student,
            "system": format_settings(self.system, self.folder),
            "frames": self.sampling.frames,
            "every_fs": self.sampling.every_fs,
            "temperatures_kelvin": list(self.temperatures),
            "steps": self.steps,
            "rollout_ps": self.rollout_ps,
        }
        path = self.folder / _RECORD
        make_folder(self.folder)
        if not path.exists():
            write_file(path, (json.dumps(facts, indent=1) + "\n").encode())
            return
        before = read_json(path, _LARGEST_RECORD_BYTES)
        for name, value in facts.items():
            if before.get(name) != value:
                change = f"{name} = {before.get(name)!r}, now it is {value!r}"
                raise TrainingError(
                    f"{self.folder} was begun with {'another SYSTEM.toml' if name == 'system' else change}: repeat the "
                    "first command, or name another --output"
                )

    def keep_networks(self) -> None:
        """Add the sha256 of both networks to the plan in the folder; a published one is downloaded first.

        Raises TrainingError if the folder was begun with other weights, and the errors of locate_weights.
        """
        path = self.folder / _RECORD
        facts = read_json(path, _LARGEST_RECORD_BYTES)
        before = facts.get(_HASHES, {})
        found = {"teacher": _hash_weights(self.teacher), "student": _hash_weights(self.student)}
        for role, sha256 in found.items():
            if before.get(role, sha256) != sha256:
                raise TrainingError(
                    f"{self.folder} was begun with a {role} of sha256 {before[role]}, but {getattr(self, role)} "
                    f"now has {sha256}: bring the first weights back, or name another --output"
                )
        if before != found:
            write_file(path, (json.dumps(facts | {_HASHES: found}, indent=1) + "\n").encode())


def _hash_weights(model: str) -> str:
    return locate_weights(resolve_record(model), model if is_weights_path(model) else None).sha256


def _choose_model(settings: ModelSettings, model: str) -> ModelSettings:
    """Return [model] with another network; device, precision, and a charge that it takes stay."""
    file = Path(model).resolve() if is_weights_path(model) else None
    own = replace(settings, name=OWN_NAME if file else model, weights=file, fast=None)
    return own if resolve_record(model).takes_charge else replace(own, charge=None, multiplicity=None)
