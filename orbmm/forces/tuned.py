"""Take what the settings of a model leave open from measurements: kept ones, or new ones.

On a GPU they are made at its first contact, on a CPU before a run that is long enough, and by `orbmm benchmark --tune`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import torch
from openmm import app, unit

from orbmm.errors import DeviceError, OrbmmError
from orbmm.first_contact.case import Case, build_lattice
from orbmm.first_contact.compare import Answers
from orbmm.first_contact.record import hash_code
from orbmm.forces.description import ForceDescription
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.resolve import ResolvedModel, resolve_for_run
from orbmm.model.composition import compose
from orbmm.model.inference.execution import Execution
from orbmm.model.load import check_execution, load_model
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision, is_unnumbered
from orbmm.preparation.elements import read_elements
from orbmm.settings.model import ModelSettings
from orbmm.tuning.candidates import OPEN, find_fixed, find_open, list_stages
from orbmm.tuning.choose import choose
from orbmm.tuning.measure import Opened
from orbmm.tuning.record import Record, Row, Situation, describe_machine, find_rung, keep_record, read_record
from orbmm.tuning.tune import OnRow, Question, tune
from orbmm.units import ANGSTROM_PER_NM, KJ_PER_MOL_NM_PER_EV_ANGSTROM, KJ_PER_MOL_PER_EV

_LOG = logging.getLogger(__name__)


def tune_for_run(model: ModelSettings, topology: app.Topology, positions: np.ndarray, steps: int) -> ModelSettings:
    """Return the settings of a run that begins, with those decided that were measured.

    positions: (N, 3) [nm]. Measured now are a GPU at its first contact, and the threads of a CPU if that takes at most
    a hundredth of the run. Missing weights are downloaded after the atoms were checked.
    """
    if not is_tunable(model) or any(atom.element is None for atom in topology.atoms()):
        return model
    resolved = resolve_for_run(model, len(positions), None)
    case = read_case(topology, positions, model)
    compose(resolved.record, case.atomic_numbers, torch.device("cpu"), case.charge, case.multiplicity)
    record = find_record(resolved, case, steps)
    return model if record is None else _take(resolved, record, steps)


def tune_execution(
    resolved: ResolvedModel, atomic_numbers: Sequence[int], periodic: bool, topology: app.Topology
) -> Execution:
    """Return how a network is computed in a System of createSystem, which knows neither its length nor positions.

    A GPU is measured at its first contact, with the atoms on a lattice in the box; a CPU has what was measured before.
    """
    if not is_tunable(resolved.settings):
        return resolved.execution
    numbers, cell = np.array(atomic_numbers, dtype=np.int64), _read_cell(topology) if periodic else None
    charge, multiplicity = resolved.settings.charge, resolved.settings.multiplicity
    record = find_record(resolved, build_lattice(numbers, cell, charge, multiplicity), None)
    return resolved.execution if record is None else Execution.from_settings(_take(resolved, record, None))


def is_tunable(model: ModelSettings) -> bool:
    """Return True if measurements may decide something in these settings. Multiple time steps are not measured."""
    return model.tune == "measure" and model.fast is None and bool(find_open(model))


def find_record(resolved: ResolvedModel, case: Case, steps: int | None) -> Record | None:
    """Return the kept measurement, or that of now where it may be made, which is then kept; None without one.

    case: the atoms to measure; steps: of a run. A failure of the plain network is left to the run, which explains it.
    Raises DeviceError if a candidate broke the GPU.
    """
    if is_unnumbered(resolved.device) and torch.cuda.device_count() > 1:
        return None  # OpenMM has yet to choose a GPU
    kept = read_record(describe_situation(resolved, case))
    is_gpu = resolved.device.type == "cuda"
    is_costly = resolved.execution.compile  # for each candidate
    if kept is not None or is_costly or (resolved.settings.first_contact == "skip" if is_gpu else steps is None):
        return kept
    try:
        return measure_now(resolved, case, may_compile=False, paying_steps=None if is_gpu else steps)
    except DeviceError:
        raise
    except (OrbmmError, MemoryError, RuntimeError) as error:
        _LOG.warning("nothing could be measured (%s): nothing is tuned", str(error).partition("\n")[0] or "no memory")
        return None


def measure_now(
    resolved: ResolvedModel,
    case: Case,
    may_compile: bool,
    paying_steps: int | None = None,
    on_row: OnRow = lambda row: None,
) -> Record | None:
    """Measure the candidates and keep the record; None if there are none, or if a run is too short to pay for them.

    A record in which nothing passed is not kept, because its reason may pass, such as a lack of memory.
    case: the user's atoms; paying_steps: of that run; on_row: called with each row when it is known
    """
    settings, device = resolved.settings, resolved.device
    block = resolved.execution.memory_use.choose_block(resolved.record.architecture, device)
    stages = list_stages(find_open(settings), device, block, may_compile)
    question = Question(describe_situation(resolved, case), resolved.execution, stages, case, paying_steps)
    record = tune(question, ForceDoors(resolved, case), on_row)
    if record is not None:
        if any(row.fault is None for row in record.rows):
            keep_record(record)
        for row in record.rows:
            if row.fault is not None:
                _LOG.info("not taken: %s (%s)", describe_execution(row.execution), row.fault)
    return record


def _take(resolved: ResolvedModel, record: Record, steps: int | None) -> ModelSettings:
    """Return the settings with the measured ones as in the best row, and log it; unchanged if there is none."""
    row = choose([row for row in record.rows if row.fault is None and _is_possible(resolved, row)], steps)
    if row is None:
        _LOG.warning("no candidate that was measured can be taken here: nothing is tuned")
        return resolved.settings
    _LOG.info("%s", describe_choice(record, row))
    return dataclasses.replace(resolved.settings, **{name: getattr(row.execution, name) for name in record.varied})


def _is_possible(resolved: ResolvedModel, row: Row) -> bool:
    """Return False for a row that lacks something here by now, such as the compiler that it was measured with."""
    try:
        check_execution(row.execution, find_precision(resolved.settings.precision), resolved.device)
    except OrbmmError:
        return False
    return True


def describe_choice(record: Record, row: Row) -> str:
    """Return a sentence that tells what was chosen, and what the first candidate would take."""
    first = record.rows[0]
    than = "" if first == row or first.fault else f", {describe_execution(first.execution)} takes {_to_ms(first)}"
    return f"as measured: {describe_execution(row.execution)} takes {_to_ms(row)} an evaluation{than}"


def describe_execution(execution: Execution) -> str:
    """Return the settings of a candidate that measurements can decide, as they are written in [model]."""
    values = {name: getattr(execution, name) for name in OPEN}
    told = [f"{name} = {_to_toml(value)}" for name, value in values.items() if value not in (None, False, "auto")]
    return ", ".join(told) or "the default"


def _to_toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def _to_ms(row: Row) -> str:
    return f"{1000.0 * row.evaluation_s:.3g} ms"


def describe_situation(resolved: ResolvedModel, case: Case) -> Situation:
    """Return what a measurement of this model on these atoms depends on; missing weights are downloaded."""
    return Situation(
        model=resolved.record.load_name,
        weights_sha256=resolved.weights.sha256,
        precision=resolved.settings.precision,
        periodic=case.cell is not None,
        atoms=find_rung(len(case.atomic_numbers)),
        fixed=find_fixed(resolved.settings),
        machine=describe_machine(resolved.device),
        code=hash_code(),
    )


def read_case(topology: app.Topology, positions: np.ndarray, model: ModelSettings) -> Case:
    """Return the atoms of a run. positions: (N, 3) [nm]. Raises StructureError for an atom without an element."""
    numbers = np.array(read_elements(topology.atoms()), dtype=np.int64)
    frames = positions[None] * ANGSTROM_PER_NM
    return Case(numbers, frames, _read_cell(topology), model.charge, model.multiplicity)


def _read_cell(topology: app.Topology) -> np.ndarray | None:
    vectors = topology.getPeriodicBoxVectors()
    return None if vectors is None else np.array(vectors.value_in_unit(unit.angstrom), dtype=np.float64)


class ForceDoors:
    """Networks that are opened and evaluated as those of a force."""

    def __init__(self, resolved: ResolvedModel, case: Case) -> None:
        self._resolved, self._case = resolved, case
        where = torch.device("cpu") if resolved.kind.name == "PythonForce" else resolved.device
        self._positions = torch.from_numpy(case.frames[0] / ANGSTROM_PER_NM).to(where)  # (N, 3) [nm]
        self._box = None if case.cell is None else torch.from_numpy(case.cell / ANGSTROM_PER_NM).to(where)
        self._loaded: tuple[Execution, Potential] | None = None

    def open(self, execution: Execution) -> Opened:
        """Return the evaluator of a network that is computed in this way."""
        resolved, case = self._resolved, self._case
        potential = self._load(execution)
        description = ForceDescription(
            model=resolved.record.load_name,
            weights_sha256=resolved.weights.sha256,
            precision=resolved.settings.precision,
            device=str(resolved.device),
            atomic_numbers=tuple(case.atomic_numbers.tolist()),
            atoms=None,
            periodic=case.cell is not None,
            charge=case.charge,
            multiplicity=case.multiplicity,
            execution=execution,
        )
        evaluator = Evaluator(potential, description)
        return Opened(potential, lambda: _read_answers(*evaluator.evaluate(self._positions, self._box)))

    def load_on_cpu(self, precision: str) -> Potential:
        """Return the plain network on the CPU."""
        return load_model(self._resolved.settings.name, self._resolved.settings.weights, "cpu", precision)

    def _load(self, execution: Execution) -> Potential:
        """Return the network; it is read once for all numbers of threads, unless it is compiled for one of them."""
        apart = execution if execution.compile else dataclasses.replace(execution, threads=None)
        if self._loaded is None or self._loaded[0] != apart:
            self._loaded = None  # its memory is free before the next one is read
            settings = self._resolved.settings
            read = load_model(settings.name, settings.weights, str(self._resolved.device), settings.precision, apart)
            self._loaded = apart, read
        return dataclasses.replace(self._loaded[1], threads=execution.threads)


def _read_answers(energy: torch.Tensor, forces: torch.Tensor) -> Answers:
    """Return energy () [kJ/mol] and forces (N, 3) [kJ/mol/nm] as the answers of one frame in eV and Å."""
    energies = (energy.to("cpu", torch.float64) / KJ_PER_MOL_PER_EV).reshape(1).numpy()
    return Answers(energies, forces.to("cpu", torch.float64).numpy()[None] / KJ_PER_MOL_NM_PER_EV_ANGSTROM, None)
