"""What a healthy run stays below."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.settings.field import Limits, check_fields, setting


@dataclass(frozen=True)
class GuardSettings:
    """The table [guard]: beyond one of these limits a run is stopped."""

    temperature_limit_kelvin: float | None = setting(
        "Highest temperature of all atoms, or of those of one element [K]; absent: 3 times the bath's and 300.",
        None,
        Limits(above=0),
    )
    force_limit_kj_mol_nm: float = setting(
        "Largest force on an atom [kJ/mol/nm].", 50000.0, Limits(above=0, at_most=1e100)
    )
    bond_limit_factor: float = setting(
        "A covalent bond of the start is broken beyond this many times its length there.", 1.5, Limits(above=1)
    )
    allow_reactions: bool = setting("Whether covalent bonds may break, as reactions do.", False)
    drift_limit_nm: float = setting(
        "Farthest that the centre of mass may move from the start, where it is kept at rest [nm].", 0.5, Limits(above=0)
    )
    confidence_limit_factor: float = setting(
        "Mean force error that the model expects of itself may grow to this many times that of the start.",
        1.5,
        Limits(above=1),
    )

    def __post_init__(self) -> None:
        check_fields(self)
