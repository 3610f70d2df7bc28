"""The models that orbmm knows by name, read from catalog.toml, and names of elements."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from orbmm.checkpoints.architecture import Architecture, Oddities
from orbmm.errors import ModelError, name_nearest
from orbmm.settings.paths import OWN_NAME

OWN_PREFIX = "orbmm-"
"""A prefix that distinguishes our models from those of openmm-ml with the same name; find_record accepts names with or
without it."""


@dataclass(frozen=True)
class CheckpointRecord:
    """The catalogue entry of a model, known before its weights are opened.

    name, aliases: the names that find_record accepts
    purpose: one line on what the model is for; note: further advice for its users
    kind: "direct" (a force head) or "conservative" (forces are the gradient of the energy)
    max_neighbors: the number of nearest neighbours inside the cutoff that each sender keeps
    level_of_theory, dispersion: the method of the training labels, and whether it contains dispersion
    elements: atomic numbers in the training data
    takes_charge: True if total charge and spin multiplicity are required; otherwise they are refused
    url: address of published weights; file: name in the package folder embedded/; at least one of the two is None, both
        for a record that a weights file holds itself
    sha256: of the weights if it is known beforehand, else None
    architecture, oddities: the description from which the network is built
    friction_per_ps, friction_reason: default friction of Langevin dynamics [1/ps], and the reason for it
    residues, bonds: names of the residues in water, and numbers of bonds by atomic number, in the training data of an
        embedded model; None for others, whose data are far wider or not known here
    """

    name: str
    aliases: tuple[str, ...]
    purpose: str
    kind: Literal["direct", "conservative"]
    max_neighbors: int
    level_of_theory: str
    elements: tuple[int, ...]
    takes_charge: bool
    url: str | None
    file: str | None
    sha256: str | None
    architecture: Architecture
    oddities: Oddities
    friction_per_ps: float
    friction_reason: str
    dispersion: str
    note: str
    residues: frozenset[str] | None = None
    bonds: Mapping[int, frozenset[int]] | None = field(default=None, hash=False)

    @property
    def load_name(self) -> str:
        """Return the name to load the model by; "orbmm" if it is known only from its weights file."""
        return self.name if self.url or self.file else OWN_NAME


def list_models() -> tuple[CheckpointRecord, ...]:
    """Return all models, embedded ones first."""
    return _read_catalog()[0]


def default_model() -> str:
    """Return the name of the model that is used if none is requested."""
    return _read_catalog()[1]


def find_record(name: str) -> CheckpointRecord:
    """Return the record of a model by its name or alias, with or without the prefix "orbmm-".

    Raises ModelError with the nearest known name.
    """
    records = {known: record for record in list_models() for known in (record.name, *record.aliases)}
    plain = name.removeprefix(OWN_PREFIX)
    if plain == OWN_NAME:
        raise ModelError(f"'{OWN_NAME}' is no model of the catalogue: it means the network of a file given as weights=")
    if plain not in records:
        raise ModelError(f"no model is called '{name}': {name_nearest(plain, records)}; `orbmm models` lists them all")
    return records[plain]


@cache
def _read_catalog() -> tuple[tuple[CheckpointRecord, ...], str]:
    """Return the records of catalog.toml in the order of the file, and the name of the default model."""
    text = resources.files("orbmm.checkpoints").joinpath("catalog.toml").read_text(encoding="utf-8")
    catalog = tomllib.loads(text)
    return tuple(_build_record(entry, catalog) for entry in catalog["model"]), catalog["default_model"]


def _build_record(entry: Mapping[str, Any], catalog: Mapping[str, Any]) -> CheckpointRecord:
    """Return one record; values of the entry itself override those of its kind and its training set."""
    said = {**catalog["kind"][entry["kind"]], **catalog["training"][entry["training"]], **entry}
    kind = said["kind"]
    architecture = {"has_stress_head": kind == "direct", **said.get("architecture", {})}
    on_server = said.get("file_on_server")
    return CheckpointRecord(
        name=said["name"],
        aliases=tuple(said.get("aliases", ())),
        purpose=said["purpose"],
        kind=kind,
        max_neighbors=said["max_neighbors"],
        level_of_theory=said["level_of_theory"],
        elements=tuple(_expand_ranges(said["elements"])),
        takes_charge=said["takes_charge"],
        url=catalog["server"] + on_server if on_server else None,
        file=said.get("file"),
        sha256=said.get("sha256"),
        architecture=Architecture(**architecture),
        oddities=Oddities(**said["oddities"]),
        friction_per_ps=said["friction_per_ps"],
        friction_reason=said["friction_reason"],
        dispersion=said["dispersion"],
        note=said["note"],
        residues=frozenset(said["residues"].split()) if "residues" in said else None,
        bonds=_read_bonds(said["bonds"]) if "bonds" in said else None,
    )


def _read_bonds(said: Mapping[str, str]) -> dict[int, frozenset[int]]:
    """Return numbers of bonds by atomic number, from ranges by symbol."""
    return {atomic_number(symbol): frozenset(_expand_ranges(ranges)) for symbol, ranges in said.items()}


def _expand_ranges(text: str) -> Iterator[int]:
    """Return the numbers in a text such as "1-3 8": 1, 2, 3, 8."""
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar
K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe
Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf
Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th
Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs
Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
_SYMBOLS = _TABLE.split()


def element_symbol(atomic_number: int) -> str:
    """Return the symbol of an atomic number, such as "Zn" for 30, or the number itself if there is no such element."""
    return _SYMBOLS[atomic_number - 1] if 1 <= atomic_number <= len(_SYMBOLS) else str(atomic_number)


def atomic_number(symbol: str) -> int:
    """Return the atomic number of a symbol. Raises ValueError for an unknown one."""
    return _SYMBOLS.index(symbol) + 1


def describe_elements(atomic_numbers: Iterable[int]) -> str:
    """Return the elements as text: "H, C, N, O" for 1, 6, 7, 8; runs of more than three become "H to Bi, Ac to Pu"."""
    runs: list[list[int]] = []
    for number in sorted(set(atomic_numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(_describe_run(run) for run in runs)


def _describe_run(run: list[int]) -> str:
    if len(run) > 3:
        return f"{element_symbol(run[0])} to {element_symbol(run[-1])}"
    return ", ".join(element_symbol(number) for number in run)
