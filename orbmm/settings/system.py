"""The table [system]: the prepared box, and the values that `orbmm prepare` builds it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.paths import check_name

BOX_SHAPES = ("cube", "dodecahedron", "octahedron")
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class SystemSettings:
    """The table [system]. Paths in a file are relative to that file; in memory they are absolute."""

    name: str = setting("Short name of the system; the default run folder is runs/<name>.")
    structure: Path | None = setting("Prepared box with all hydrogens, .pdb or .cif; input of a run.", None, fixed=True)
    state: Path | None = setting(
        "OpenMM state XML; its positions, velocities and box replace those of the structure.", None, fixed=True
    )
    source: str | None = setting("Input of `orbmm prepare`: alanine-dipeptide, a raw .pdb or .cif, or pdb:<id>.", None)
    padding_nm: float = setting(
        "Smallest distance between two periodic images of the solute [nm].", 1.0, Limits(above=0)
    )
    ph: float = setting("pH that decides the protonation states.", 7.0, Limits(at_least=0, at_most=14))
    box: str = setting("Shape of the periodic box.", "cube", Limits(choices=BOX_SHAPES))
    salt_molar: float = setting(
        "Concentration of sodium chloride, in addition to neutralising ions [mol/l].",
        0.0,
        Limits(at_least=0, at_most=5),
    )
    neutralize: bool = setting("Add ions so that the total charge is zero.", True)
    seed: int = setting("Seed of all random choices of `orbmm prepare`.", 1, Limits(at_least=1, at_most=LARGEST_SEED))

    def __post_init__(self) -> None:
        check_fields(self)
        check_name(self.name)
