"""Measure all diagnostics of a network on a structure."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orbmm.checkpoints.catalog import element_symbol
from orbmm.diagnose.bonds import count_unseen
from orbmm.diagnose.confidence import measure_confidence
from orbmm.diagnose.consistency import measure_lines, measure_loops
from orbmm.diagnose.field import NetworkField, Place
from orbmm.diagnose.heating import LARGEST_HEATING, Protocol, measure_heating, measure_long_step
from orbmm.diagnose.jacobian import measure_asymmetry
from orbmm.diagnose.labels import LabelFile, find_bin_edges, measure_labels
from orbmm.diagnose.pair import measure_pair
from orbmm.diagnose.rotation import measure_rotational_gradient, measure_rotations
from orbmm.diagnose.subject import read_frames
from orbmm.errors import ModelError, StructureError
from orbmm.first_contact.load import load_model
from orbmm.model.potential import Potential
from orbmm.run_files.diagnosis import LONG_STEP_NAMES, Diagnosis, Diagnostic
from orbmm.settings.time_step import DIAGNOSED_FS, HEAVIEST_HYDROGEN_AMU
from orbmm.training.data.frames import Frame

if TYPE_CHECKING:
    from ase import Atoms

LONG_STEP = Protocol(timestep_fs=DIAGNOSED_FS, length_ps=1.0, hydrogen_amu=HEAVIEST_HYDROGEN_AMU)

EXCESS_KELVIN = 3.0
"""An excess of temperature that may be tolerated: 1 % at 300 K."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The amount of work for each diagnostic.

    orientations: of the rotational gradient, at least 8; rotations: of the energy and forces; probes: of the Jacobian
    heating_ps: length of the dynamics without a thermostat [ps], 0 for none
    long_step: measure a time step of 2 fs with hydrogens of 4 g/mol for 1 ps too
    """

    orientations: int = 24
    rotations: int = 24
    lines: int = 8
    loops: int = 4
    probes: int = 2
    heating_ps: float = 0.1
    long_step: bool = False


def diagnose_model(
    model: str | Potential,
    structure: Frame | Atoms | str | PathLike[str] | Sequence[Frame | Atoms],
    compare: str | Potential | None = None,
    labels: str | PathLike[str] | LabelFile | None = None,
    plan: Plan | None = None,
) -> Diagnosis:
    """Measure invariance, conservation, heating and confidence of a network on a structure, and judge them.

    model: a name, which is loaded in float64, or a loaded model in its own precision
    structure: a PDB or mmCIF file, a system.toml, atoms of ASE, or several of these; the first is measured in full, the
    others only add to the confidence and to the search for unknown elements and bonds
    compare: a second network, such as the direct one of a pair
    labels: a file of labelled frames; in eV and eV/Å, unless it is a LabelFile
    Raises ModelError, StructureError or TrainingError for what cannot be measured at all.
    """
    frames = read_frames(Path(structure) if isinstance(structure, PathLike) else structure)
    measurement = _Measurement(_load(model), frames)
    if labels is not None:  # and the second model, first: their faults shall not appear after minutes
        measurement.measure_labels(labels if isinstance(labels, LabelFile) else LabelFile(Path(labels)))
    if compare is not None:
        measurement.compare(_load(compare))
    measurement.measure_network(plan or Plan())
    return measurement.finish()


class _Measurement:
    """The diagnostics of one network so far."""

    def __init__(self, potential: Potential, frames: Sequence[Frame]) -> None:
        self._potential, self._frames = potential, frames
        self._field = NetworkField(potential, frames[0])
        self._place = Place(frames[0].positions, frames[0].cell)
        self._numbers = frames[0].atomic_numbers
        self._found: list[Diagnostic] = []
        self._missing: dict[str, str] = {}

    def measure_network(self, plan: Plan) -> None:
        """Measure what needs no labels and no other network, cheap diagnostics first."""
        field, place = self._field, self._place
        self._add(self._count_unseen())
        self._measure_confidence()
        self._add(measure_rotational_gradient(field, place, plan.orientations))
        self._add(*measure_rotations(field, place, plan.rotations))
        self._add(measure_lines(field, place, plan.lines))
        self._add(measure_loops(field, place, plan.loops))
        self._add(measure_asymmetry(field, place, plan.probes))
        if plan.heating_ps > 0.0:
            protocol = Protocol(length_ps=plan.heating_ps)
            self._try("heating without a thermostat", lambda: (measure_heating(field, place, self._numbers, protocol),))
        if plan.long_step:
            self._try("drift at 2 fs", lambda: measure_long_step(field, place, self._numbers, LONG_STEP))

    def compare(self, other: Potential) -> None:
        """Measure the difference to a second network."""
        self._add(measure_pair(self._field, NetworkField(other, self._frames[0]), self._place, self._numbers))

    def measure_labels(self, labels: LabelFile) -> None:
        """Measure the errors on labelled frames."""
        self._add(*measure_labels(self._potential, labels))

    def finish(self) -> Diagnosis:
        """Return what was found, with what follows from it."""
        potential, frame = self._potential, self._frames[0]
        return Diagnosis(
            model=potential.record.name,
            kind=potential.record.kind,
            weights_sha256=potential.weights_sha256,
            precision=potential.precision.name,
            structure=frame.source,
            atoms=len(frame.atomic_numbers),
            diagnostics=tuple(self._found),
            missing=self._missing,
            advice=tuple(list_advice(self._found)),
            elements=dict(Counter(element_symbol(int(number)) for number in frame.atomic_numbers)),
        )

    def _add(self, *diagnostics: Diagnostic) -> None:
        for each in diagnostics:
            _LOG.info("measured: %s", each.name)
            self._found.append(each)

    def _try(self, name: str, measure: Callable[[], tuple[Diagnostic, ...]]) -> None:
        """Add a diagnostic of dynamics, or why the atoms could not be followed."""
        try:
            self._add(*measure())
        except StructureError as error:
            self._missing[name] = str(error)

    def _count_unseen(self) -> Diagnostic:
        record = self._potential.record
        counted = [count_unseen(each.atomic_numbers, Place(each.positions, each.cell), record) for each in self._frames]
        return max(counted, key=lambda each: each.value)

    def _measure_confidence(self) -> None:
        fields = [NetworkField(self._potential, frame) for frame in self._frames]
        frames = zip(fields, self._frames, strict=True)
        found = [field.find_confidence(Place(frame.positions, frame.cell)) for field, frame in frames]
        known = [each for each in found if each is not None]
        if not known:
            self._missing["confidence"] = f"{self._potential.record.name} has no confidence head"
            return
        numbers = np.concatenate([frame.atomic_numbers for frame in self._frames])
        self._add(measure_confidence(np.concatenate(known), find_bin_edges(self._potential), numbers))


def list_advice(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """Yield a sentence for each finding that a user can act on."""
    found = {each.name: each for each in diagnostics}
    heating = found.get("heating without a thermostat")
    if heating is not None and heating.value > LARGEST_HEATING:
        friction = math.ceil(heating.value / EXCESS_KELVIN)
        yield (
            f"it heats by {heating.value:.0f} K/ps: no dynamics without a thermostat; friction_per_ps = {friction} "
            f"would hold it within {EXCESS_KELVIN:g} K of the bath; less may do, as friction damps the heating"
        )
    kinds = (
        found["atoms unlike the training data"].details["kinds"] if "atoms unlike the training data" in found else {}
    )
    if kinds:
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        yield f"not in the training data: {named}; expect wrong forces there"
    long_step = [each for each in diagnostics if each.name.startswith(LONG_STEP_NAMES)]
    if long_step:
        ends = "keeps the energy" if all(each.passed for each in long_step) else "does not keep the energy"
        yield f"a step of 2 fs with hydrogens of 4 g/mol {ends} here: {long_step[0].value:+.2f} meV/atom/ps over 1 ps"


def _load(model: str | Potential) -> Potential:
    if isinstance(model, Potential):
        return model
    if not isinstance(model, str):
        raise ModelError(f"a model must be a name or a loaded model, got {type(model).__name__}")
    return load_model(model, precision="float64")
