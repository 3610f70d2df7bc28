"""What a user decides about a system, its model, its run, its guard and its analysis: one TOML file, a frozen dataclass per table."""

from __future__ import annotations

from orbmm.settings.analysis import AnalysisSettings
from orbmm.settings.duration import read_duration_ps
from orbmm.settings.guard import GuardSettings
from orbmm.settings.model import ModelSettings
from orbmm.settings.override import override_settings
from orbmm.settings.plan import Stage
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.read import make_settings, read_settings
from orbmm.settings.restraint import RestraintSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.settings import Settings
from orbmm.settings.stage import StageSettings
from orbmm.settings.system import SystemSettings
from orbmm.settings.write import format_settings, write_settings

__all__ = [
    "AnalysisSettings",
    "GuardSettings",
    "ModelSettings",
    "PreparationSettings",
    "RestraintSettings",
    "RunSettings",
    "Settings",
    "Stage",
    "StageSettings",
    "SystemSettings",
    "format_settings",
    "make_settings",
    "override_settings",
    "read_duration_ps",
    "read_settings",
    "write_settings",
]
