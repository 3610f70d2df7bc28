"""All settings of one system, and the tables [guard] and [analysis]."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.model import ModelSettings
from orbmm.settings.plan import Stage, complete_stages
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.stage import StageSettings
from orbmm.settings.system import SystemSettings

BROKEN_BOND_FACTOR = 1.5
"""A bond longer than this many times its length at the start is broken, for the guard and for the analysis."""


@dataclass(frozen=True)
class GuardSettings:
    """The table [guard]: limits beyond which a run is stopped."""

    temperature_limit_kelvin: float | None = setting(
        "Highest temperature of all atoms, or of the atoms of one element [K]; absent: 3 times the bath's + 300.",
        None,
        Limits(above=0),
    )
    force_limit_kj_mol_nm: float = setting(
        "Largest force on an atom [kJ/mol/nm].", 50000.0, Limits(above=0, at_most=1e100)
    )
    bond_limit_factor: float = setting(
        "A covalent bond counts as broken if it is longer than this factor times its length at the start.",
        BROKEN_BOND_FACTOR,
        Limits(above=1),
    )
    allow_reactions: bool = setting("Allow covalent bonds to break, as in reactions.", False)
    drift_limit_nm: float = setting(
        "Largest distance of the centre of mass from its start, if the System keeps it at rest [nm].",
        0.5,
        Limits(above=0),
    )
    confidence_limit_factor: float = setting(
        "Largest mean force error that the model expects, as a multiple of that at the start.",
        1.5,
        Limits(above=1),
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class AnalysisSettings:
    """The table [analysis]."""

    discard_ps: float | None = setting(
        "Time at the start of the run that is left out of averages [ps]; absent: until the potential energy no longer "
        "drifts.",
        None,
        Limits(at_least=0),
    )
    broken_bond_factor: float = setting(
        "A covalent bond counts as broken if it is longer than this factor times its length at the start.",
        BROKEN_BOND_FACTOR,
        Limits(above=1),
    )
    rdf_cutoff_nm: float | None = setting(
        "Largest distance of the radial distribution functions [nm]; absent: half the box, at most 1 nm.",
        None,
        Limits(above=0),
    )
    reference: Path | None = setting("Reference structure of the RMSD; absent: the start of the run.", None)
    binding_site: str | None = setting(
        "Binding site as an mdtraj selection, such as 'resSeq 94 96 119'; absent: residues within 5 Å of the metal.",
        None,
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Settings:
    """One SYSTEM.toml: tables, of which only [system] with its name is required, and any number of [[stage]]."""

    system: SystemSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    run: RunSettings = field(default_factory=RunSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    stage: tuple[StageSettings, ...] = ()

    def __post_init__(self) -> None:
        complete_stages(self.stage, self.run, self.model)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the stages in their order, complete except for values that depend on the model."""
        return complete_stages(self.stage, self.run, self.model)

    @property
    def production(self) -> Stage:
        """Return the last stage, which usually gives most of the trajectory."""
        return self.stages[-1]
