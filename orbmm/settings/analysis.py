"""What the analysis of a run looks at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting


@dataclass(frozen=True)
class AnalysisSettings:
    """The table [analysis]."""

    discard_ps: float | None = setting(
        "Start of the run that averages leave out [ps]; absent: until the potential energy has settled.",
        None,
        Limits(at_least=0),
    )
    broken_bond_factor: float = setting(
        "A covalent bond counts as broken beyond this many times its length at the start.", 1.4, Limits(above=1)
    )
    rdf_cutoff_nm: float | None = setting(
        "Largest distance of the radial distribution [nm]; absent: half the box, at most 1 nm.", None, Limits(above=0)
    )
    reference: Path | None = setting("Structure for the RMSD; absent: the start of the run.", None)
    binding_site: str | None = setting(
        "Binding site as a selection of mdtraj, such as 'resSeq 94 96 119'; absent: residues within 5 Å of the metal.",
        None,
    )

    def __post_init__(self) -> None:
        check_fields(self)
