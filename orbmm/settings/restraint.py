"""A force that holds atoms while a stage lasts."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting

RESTRAINT_KINDS = ("position", "distance", "cap")


@dataclass(frozen=True)
class RestraintSettings:
    """One [[stage.restraint]]: a spring, or for a cap a spring that only pulls back what is too far away."""

    kind: str = setting(
        "position holds atoms where the run starts, distance holds two atoms apart, cap keeps two atoms together.",
        limits=Limits(choices=RESTRAINT_KINDS),
    )
    atoms: str | None = setting(
        'The atoms of kind position: "solute", "solute heavy", "backbone" or any selection of mdtraj.', None
    )
    between: tuple[str, ...] | None = setting(
        'The two atoms of kind distance or cap, as chain:residue:atom: ["A:262:ZN", "A:94:NE2"].', None
    )
    distance_nm: float | None = setting(
        "Where the force begins: how far atoms may move freely (position; absent: not at all), the distance that is held "
        "(absent: that of the start), or the cap [nm].",
        None,
        Limits(at_least=0),
    )
    stiffness_kj_mol_nm2: float = setting("Constant k of k/2 times the square [kJ/mol/nm^2].", 1000.0, Limits(above=0))

    def __post_init__(self) -> None:
        check_fields(self)
        wanted, unwanted = ("atoms", "between") if self.kind == "position" else ("between", "atoms")
        if getattr(self, wanted) is None or getattr(self, unwanted) is not None:
            raise SettingsError(f"a restraint of kind {self.kind} needs '{wanted}' and takes no '{unwanted}'")
        if self.between is not None and (len(self.between) != 2 or any(one.count(":") != 2 for one in self.between)):
            raise SettingsError(
                f"between is {list(self.between)}, but must name two atoms as chain:residue:atom, such as A:94:NE2"
            )
        if self.kind == "cap" and self.distance_nm is None:
            raise SettingsError("a restraint of kind cap needs 'distance_nm', beyond which it pulls")
