"""Every format at every door where it is read, and the search for a file that makes a fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fuzz.child import Child
from fuzz.counts import Count, count_cif, count_pdb
from fuzz.doors import DOORS, Outcome, Read, ask_content, check_outcome
from fuzz.mutations import mutate
from fuzz.seeds import list_cif, list_crystals, list_pdb, list_settings, make_file
from hypothesis import HealthCheck, given, settings

CHILD = Child()
IN_CHILD = ("read_trajectory", "build_solute_of_box")
BINARY = (".xtc", ".trr", ".dcd", ".nc", ".ncrst", ".pdb.gz")


@dataclass(frozen=True)
class Place:
    """A format at a door. count: of the atoms that a result must have; None where the file does not tell simply."""

    door: str
    suffix: str
    seeds: Callable[[], Sequence[bytes]]
    count: Callable[[bytes], Count | None] | None = None

    @property
    def name(self) -> str:
        return f"{self.door}{self.suffix}"

    def ask(self, content: bytes) -> Outcome:
        """The outcome for a file with this content; readers in C are asked in a process of their own."""
        if self.door in IN_CHILD:
            return CHILD.ask_content(self.door, content, f"file{self.suffix}")
        return ask_content(DOORS[self.door], content, f"file{self.suffix}")


def check_file(place: Place, content: bytes) -> None:
    """Fail unless a file with this content is read whole, or refused in a sentence or two."""
    outcome = place.ask(content)
    check_outcome(outcome)
    count = place.count(content) if place.count and outcome.read else None
    if count is not None:
        check_count(outcome.read, count)


def check_count(read: Read, count: Count) -> None:
    """Fail where an atom of the first model is lost without a word, or one is there that is not in the file."""
    least = count.distinct if "in the file twice" in read.warned else count.atoms
    assert least <= read.atoms <= count.lines, (read, count)


def search(place: Place, examples: int, *, repeatable: bool) -> None:
    """Try this many files, always the same ones or others each time."""

    @settings(
        max_examples=examples,
        derandomize=repeatable,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutate(place.seeds(), binary=place.suffix in BINARY))
    def try_file(content: bytes) -> None:
        check_file(place, content)

    try_file()


def _make(suffix: str) -> tuple[bytes, ...]:
    return (make_file(suffix),)


STRUCTURE_DOORS = ("read_start_of_run", "read_source_of_box", "read_topology")
TRAJECTORIES = (
    ".xtc", ".trr", ".dcd", ".nc", ".ncrst", ".lammpstrj", ".xyz", ".gro", ".mdcrd", ".pdb", ".pdb.gz", ".cif",
)  # fmt: skip
PLACES = (
    Place("read_settings_file", ".toml", list_settings),
    *(Place(door, ".pdb", list_pdb, count_pdb) for door in STRUCTURE_DOORS),
    *(Place(door, ".cif", list_cif, count_cif) for door in STRUCTURE_DOORS),
    *(Place("build_solute_of_box", suffix, seeds) for suffix, seeds in ((".pdb", list_pdb), (".cif", list_cif))),
    *(Place("read_topology", suffix, partial(_make, suffix)) for suffix in (".gro", ".mol2", ".psf")),
    Place("read_crystal", ".pdb", list_crystals),
    *(Place("read_trajectory", suffix, partial(_make, suffix)) for suffix in TRAJECTORIES),
)
