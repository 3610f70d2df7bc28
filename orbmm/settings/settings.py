"""All settings of one system together."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbmm.settings.analysis import AnalysisSettings
from orbmm.settings.guard import GuardSettings
from orbmm.settings.model import ModelSettings
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.system import SystemSettings


@dataclass(frozen=True)
class Settings:
    """One SYSTEM.toml: six tables, of which only [system] with its name must be there."""

    system: SystemSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    run: RunSettings = field(default_factory=RunSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
