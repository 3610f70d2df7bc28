"""Keep the networks in use: each description is turned into an evaluator once, and contexts share it."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import find_by_hash, locate_weights, state_of_weights
from orbmm.errors import ForceError
from orbmm.first_contact.meet import Atoms, meet
from orbmm.first_contact.record import Contact
from orbmm.forces.description import ForceDescription, is_dispersion
from orbmm.forces.difference import DifferenceEvaluator
from orbmm.forces.evaluator import AtomForces, Evaluator
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.model.potential import Potential
from orbmm.model.precision import find_device, is_unnumbered
from orbmm.settings.paths import OWN_NAME

if TYPE_CHECKING:
    from orbmm.forces.dispersion import DispersionDescription

MOST_EVALUATORS, MOST_NETWORKS = 16, 4
"""How many are kept; the least recently used one is dropped, so that a script may create any number of Systems."""

_LOG = logging.getLogger(__name__)
_LOCK = threading.RLock()
_BUILT: set[int] = set()  # hashes of all that was built
_WARNED: set[str] = set()  # kinds that a warning was given of
_CONTACTS: dict[tuple[str, str, Execution], Contact] = {}  # by weights, precision and execution
_CARDS: dict[Hashable, str] = {}  # the GPU that was used last, where the device has no number


def find_evaluator(description: str, positions_device: torch.device) -> AtomForces | DifferenceEvaluator:
    """Return the evaluator of a description (JSON text), loaded at the first call; safe in any thread.

    positions_device: the device of OpenMM's coordinates; a description with device "auto" or "cuda" uses their GPU
    """
    with _LOCK, torch.inference_mode(False):
        return _build_evaluator(description, _choose_device(description, positions_device))


def load_ahead(description: str, device: torch.device) -> None:
    """Load what a description (JSON text) needs, so that an error is raised before the first step.

    device: where it will be computed. For a GPU without a number everything is read and checked on the CPU, and not
    kept: the first evaluation loads it on the GPU of the coordinates.
    """
    if not is_unnumbered(device):
        find_evaluator(description, device)
        return
    read = _read(description).description
    if not isinstance(read, ForceDescription):
        _build_dispersion(read, "cpu")
        return
    for each in (read,) if read.fast is None else (read, read.fast):
        load_model(each.model, _find_weights(each.model, each.weights_sha256), "cpu", each.precision)


def forget_evaluators() -> None:
    """Drop all networks, so that their memory can be freed."""
    with _LOCK:
        _read.cache_clear()
        _build_evaluator.cache_clear()
        _load_potential.cache_clear()
        _BUILT.clear()
        _WARNED.clear()
        _CONTACTS.clear()
        _CARDS.clear()


def count_networks() -> int:
    """Return the number of loaded networks."""
    return _load_potential.cache_info().currsize


@dataclass(frozen=True)
class _Reading:
    """A description that was read.

    device: that it names on this machine, a GPU perhaps without a number
    shared: what all descriptions have in common that are computed on the same GPU
    """

    description: ForceDescription | DispersionDescription
    device: torch.device
    shared: Hashable


@lru_cache(maxsize=MOST_EVALUATORS)
def _read(text: str) -> _Reading:
    if is_dispersion(text):
        from orbmm.forces.dispersion import DispersionDescription  # loads Warp

        dispersion = DispersionDescription.from_json(text)
        return _Reading(dispersion, find_device(dispersion.device), text)
    each = ForceDescription.from_json(text)
    network = (each.model, each.weights_sha256, each.precision, each.execution)
    return _Reading(each, find_device(each.device), network)


@lru_cache(maxsize=MOST_EVALUATORS)
def _build_evaluator(text: str, device: str) -> AtomForces | DifferenceEvaluator:
    _warn_of_turns((text, device), f"{MOST_EVALUATORS} forces", "a search for neighbours")
    description = _read(text).description
    if not isinstance(description, ForceDescription):
        return _build_dispersion(description, device)
    if description.fast is not None:
        slow = dataclasses.replace(description, fast=None)
        return DifferenceEvaluator(*(_build_plain(each, device) for each in (slow, description.fast)))
    weights = (description.model, description.weights_sha256)
    potential = _load_potential(*weights, device, description.precision, description.execution)
    if potential.device.type == "cuda" and description.first_contact == "check":
        key = (description.weights_sha256, description.precision, description.execution)
        _CONTACTS[key] = _meet(potential, description)
    return Evaluator(potential, description)


def find_contact(weights_sha256: str, precision: str, execution: Execution) -> Contact | None:
    """Return the latest first contact of this process that was made in this way, None if there was none."""
    return _CONTACTS.get((weights_sha256, precision, execution))


def _meet(potential: Potential, description: ForceDescription) -> Contact:
    """Compare the GPU with the CPU, the first time that this network meets it. Raises DeviceError."""
    weights = _find_weights(description.model, description.weights_sha256)
    atoms = Atoms(description.atomic_numbers, description.periodic, description.charge, description.multiplicity)
    return meet(
        potential,
        description.execution,
        atoms,
        lambda precision: load_model(description.model, weights, "cpu", precision),
    )


def _build_plain(description: ForceDescription, device: str) -> Evaluator:
    """Return the evaluator of one network, which a force of that network alone shares."""
    evaluator = _build_evaluator(description.to_json(), device)
    if not isinstance(evaluator, Evaluator):
        raise ForceError("a difference is made of two networks")
    return evaluator


def _build_dispersion(description: DispersionDescription, device: str) -> AtomForces:
    from orbmm.forces.dispersion import DispersionEvaluator

    return DispersionEvaluator(description, torch.device(device))


def _warn_of_turns(key: tuple[object, ...], limit: str, price: str) -> None:
    """Log once if something is built again that was dropped: more of its kind are used in turn than are kept."""
    if hash(key) in _BUILT and limit not in _WARNED:
        _WARNED.add(limit)
        _LOG.warning("more than %s in turn: no more are kept, so each turn costs %s; finish one first", limit, price)
    _BUILT.add(hash(key))


def _choose_device(text: str, positions_device: torch.device) -> str:
    """Return the device with its number, so that "auto", "cuda" and "cuda:0" share one network.

    A GPU without a number is that of the coordinates. For coordinates on the CPU it is the one that this network was
    used on last, or the first.
    """
    read = _read(text)
    if not is_unnumbered(read.device):
        return str(read.device) if read.device.type == "cuda" else read.device.type
    if positions_device.type == "cuda":
        _CARDS[read.shared] = str(positions_device)
    return _CARDS.setdefault(read.shared, "cuda:0")


@lru_cache(maxsize=MOST_NETWORKS)
def _load_potential(model: str, weights_sha256: str, device: str, precision: str, execution: Execution) -> Potential:
    key = (model, weights_sha256, device, precision, execution)
    _warn_of_turns(key, f"{MOST_NETWORKS} networks", "reading the weights again")
    return load_model(model, _find_weights(model, weights_sha256), device, precision, execution)


def _find_weights(model: str, weights_sha256: str) -> Path | None:
    """Return the weights file with this hash, or None if it is that of the catalogue; nothing is downloaded.

    Raises CheckpointError if there is no such file on this machine.
    """
    if model == OWN_NAME:
        return find_by_hash(weights_sha256)
    record = find_record(model)
    if state_of_weights(record) != "to download" and locate_weights(record).sha256 == weights_sha256:
        return None
    return find_by_hash(weights_sha256)
