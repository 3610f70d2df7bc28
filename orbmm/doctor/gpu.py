"""Compare every GPU of this machine with the CPU, in every precision: the first contact, on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.doctor.installation import Finding, State
from orbmm.errors import OrbmmError
from orbmm.first_contact.meet import Atoms, describe_meeting, make_contact
from orbmm.first_contact.record import Contact, list_contacts
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.settings.model import PRECISIONS

_WATER_AND_PEPTIDE = (*(8, 1, 1) * 20, *(6, 7, 6, 8, 6), *(1,) * 12)
"""The elements that every embedded network knows, in about the shares of a solvated peptide."""


def check_gpus(model: str) -> Iterator[tuple[str, list[Finding]]]:
    """Yield for each GPU its name and what the comparison finds, by precision; then what is kept in the cache.

    Nothing is yielded for GPUs where there are none.
    """
    for number in range(count_gpus()):
        device = f"cuda:{number}"
        title = f"{model} on {device}, {torch.cuda.get_device_name(number)}, against the CPU in float64"
        yield title, [_check_precision(model, device, precision) for precision in PRECISIONS]
    kept = list_contacts()
    if kept:
        yield "First contacts kept in the cache", [_describe(contact, _name(contact)) for contact in kept]


def count_gpus() -> int:
    """Return the number of GPUs that torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _check_precision(model: str, device: str, precision: str) -> Finding:
    try:
        contact, report = meet_gpu(model, device, precision)
    except OrbmmError as error:
        return Finding(precision, State.BROKEN, str(error))
    return _describe(contact, precision, report)


def meet_gpu(model: str, device: str, precision: str) -> tuple[Contact, Path | None]:
    """Compare one device with the CPU now, whatever is kept; return the result, and the report of its faults.

    Raises the errors of load_model and make_contact.
    """
    record = find_record(model)
    execution = Execution()
    potential = load_model(model, device=device, precision=precision, execution=execution)
    numbers = [number for number in _WATER_AND_PEPTIDE if number in record.elements]
    charge, multiplicity = (0, 0) if record.takes_charge else (None, None)
    atoms = Atoms(numbers, True, charge, multiplicity)
    meeting = describe_meeting(potential, execution, atoms)
    return make_contact(potential, meeting, atoms, lambda name: load_model(model, device="cpu", precision=name))


def _name(contact: Contact) -> str:
    meeting = contact.meeting
    return f"{meeting.model}, {meeting.precision}, {meeting.card.name}"


def _describe(contact: Contact, subject: str, report: Path | None = None) -> Finding:
    errors, limits = contact.comparison.errors, contact.comparison.limits
    seen = (
        f"forces within {errors.forces_mev_per_angstrom:.2g} meV/Å (limit {limits.forces_mev_per_angstrom:.2g}), "
        f"energy {errors.energy_mev_per_atom:.2g} meV/atom ({limits.energy_mev_per_atom:.2g}), {contact.seconds:.1f} s"
    )
    if contact.faults:
        advice = "do not compute with it" + (f", and send in {report}" if report else "")
        return Finding(subject, State.BROKEN, "; ".join(contact.faults), advice)
    return Finding(subject, State.GOOD, seen)
