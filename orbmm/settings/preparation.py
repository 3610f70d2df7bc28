"""How a structure file becomes a box where the defaults do not fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PreparationSettings:
    """The table [preparation]. A residue is written "chain:number", its insertion code after the number ("A:52B").

    chains: chains to keep; none named keeps all
    insert_before: residues that the file lacks, by the residue they precede: {"A:3": "ACE SER"}
    insert_after: the same, by the residue they follow: {"A:10": "NME"}
    keep_heterogens: names of residues kept beside protein, nucleic acid, water and metals: ("CO2",)
    keep_crystal_waters: whether the waters of the file stay
    alternate_locations: the location to take where it is not the one of highest occupancy: {"A:64": "B"}
    variants: protonation states that overrule pH and the metal rule: {"A:64": "HIP", "A:25": "ASH"}
    equilibration_ps: length of the classical dynamics after the classical minimisation, 0 for none [ps]
    pressure_bar: its pressure, 0 for constant volume [bar]
    temperature_kelvin: its temperature [K]
    """

    chains: tuple[str, ...] = ()
    insert_before: Mapping[str, str] = field(default_factory=dict)
    insert_after: Mapping[str, str] = field(default_factory=dict)
    keep_heterogens: tuple[str, ...] = ()
    keep_crystal_waters: bool = True
    alternate_locations: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    equilibration_ps: float = 2.0
    pressure_bar: float = 1.0
    temperature_kelvin: float = 300.0
