"""Settings of a system, its model, run, guard and analysis: one TOML file, with a frozen dataclass for each table."""

from __future__ import annotations

from orbmm.settings.ensemble import EnsembleSettings, EnsembleTable, SchedulerSettings, SweepKey
from orbmm.settings.model import ModelSettings
from orbmm.settings.plan import Stage
from orbmm.settings.preparation import LigandSettings, PreparationSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.settings import AnalysisSettings, GuardSettings, Settings
from orbmm.settings.stage import RestraintSettings, StageSettings
from orbmm.settings.system import SystemSettings
from orbmm.settings.time_step import read_duration_ps
from orbmm.settings.toml import (
    format_settings,
    make_settings,
    override_settings,
    read_ensemble_settings,
    read_settings,
    read_training_settings,
    write_settings,
)
from orbmm.settings.training import ReplaySettings, TrainingSettings

__all__ = [
    "AnalysisSettings",
    "EnsembleSettings",
    "EnsembleTable",
    "GuardSettings",
    "LigandSettings",
    "ModelSettings",
    "PreparationSettings",
    "ReplaySettings",
    "RestraintSettings",
    "RunSettings",
    "SchedulerSettings",
    "Settings",
    "Stage",
    "StageSettings",
    "SweepKey",
    "SystemSettings",
    "TrainingSettings",
    "format_settings",
    "make_settings",
    "override_settings",
    "read_duration_ps",
    "read_ensemble_settings",
    "read_settings",
    "read_training_settings",
    "write_settings",
]
