"""Let a network and a GPU meet: compare once, keep the result, and stop if the GPU computes something else."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from orbmm.checkpoints.catalog import describe_elements
from orbmm.errors import DeviceError, OutOfMemory
from orbmm.first_contact.case import build_case
from orbmm.first_contact.compare import LoadOnCpu, compare
from orbmm.first_contact.record import (
    Contact,
    Meeting,
    describe_card,
    find_faults,
    hash_code,
    read_contact,
    write_contact,
    write_report,
)
from orbmm.model.inference.execution import Execution
from orbmm.model.potential import Potential

_LOG = logging.getLogger(__name__)
_MEANWHILE = 'Take precision = "float32-highest", kernels = "torch" or device = "cpu" meanwhile'


@dataclass(frozen=True)
class Atoms:
    """The atoms that a network acts on. periodic: in a box; charge [e], multiplicity: None where not taken."""

    atomic_numbers: Sequence[int]
    periodic: bool
    charge: int | None = None
    multiplicity: int | None = None


def meet(potential: Potential, execution: Execution, atoms: Atoms, load_on_cpu: LoadOnCpu) -> Contact:
    """Return the result of a first contact: the kept one, or that of a comparison now, which is then kept.

    Raises DeviceError, and names the report, if the GPU does not compute what the CPU does.
    """
    meeting = describe_meeting(potential, execution, atoms)
    kept = read_contact(meeting)
    if kept is not None:
        return kept
    _LOG.info("%s meets %s for the first time: a small box is compared with the CPU", meeting.model, meeting.card.name)
    contact, report = make_contact(potential, meeting, atoms, load_on_cpu)
    _refuse_faults(contact, report)
    errors = contact.comparison.errors
    _LOG.info(
        "%s computes %s as the CPU does: forces within %.2g meV/Å, energy within %.2g meV/atom (%.1f s)",
        *(meeting.card.name, meeting.model, errors.forces_mev_per_angstrom, errors.energy_mev_per_atom),
        contact.seconds,
    )
    return contact


def describe_meeting(potential: Potential, execution: Execution, atoms: Atoms) -> Meeting:
    """Return all that the comparison depends on."""
    return Meeting(
        model=potential.record.name,
        weights_sha256=potential.weights_sha256,
        precision=potential.precision.name,
        options=asdict(execution),
        elements=tuple(sorted({int(number) for number in atoms.atomic_numbers})),
        periodic=atoms.periodic,
        card=describe_card(potential.device),
        code=hash_code(),
    )


def make_contact(
    potential: Potential, meeting: Meeting, atoms: Atoms, load_on_cpu: LoadOnCpu
) -> tuple[Contact, Path | None]:
    """Compare now, and return the result with the report of its faults, None without one.

    A pass is kept in the cache. Raises OutOfMemory, and DeviceError for a GPU that cannot compute at all.
    """
    began = time.monotonic()
    case = build_case(atoms.atomic_numbers, atoms.periodic, atoms.charge, atoms.multiplicity)
    try:
        comparison, answers = compare(potential, case, load_on_cpu)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(
            f"out of memory while {meeting.model} is compared with the CPU: free some, or set first_contact = "
            '"skip", which gives up this check'
        ) from error
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise DeviceError(
            f"{meeting.model} cannot be compared between {meeting.card.name} and the CPU: {reason}. {_MEANWHILE}"
        ) from error
    faults = find_faults(comparison, may_vary=bool(meeting.options["compile"]))
    contact = Contact(meeting, comparison, faults, time.monotonic() - began)
    try:
        if faults:
            return contact, write_report(contact, case, answers)
        write_contact(contact)
    except OSError as error:
        _LOG.warning("the result of the comparison cannot be kept (%s): it is done again next time", error)
    return contact, None


def _refuse_faults(contact: Contact, report: Path | None) -> None:
    """Raise DeviceError, in one sentence, for a GPU that computes something else than the CPU."""
    if not contact.faults:
        return
    meeting = contact.meeting
    raise DeviceError(
        f"{meeting.card.name} does not compute {meeting.model} in {meeting.precision} as the CPU does, for "
        f"{describe_elements(meeting.elements)}: {'; '.join(contact.faults)}."
        + (f" Send in {report}." if report else "")
        + f" {_MEANWHILE}"
    )
