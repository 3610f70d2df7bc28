"""Train in several processes: each takes its share of a batch, and the gradients of all shares are summed.

Each loss is a sum over the share of a process, divided by a count of the whole batch. So the sum of the gradients is
the gradient of the whole batch, however many atoms a share has. A mean of the shares' means would not be.

torchrun, or `orbmm train --processes`, sets RANK and WORLD_SIZE. Without them every function here works on one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from orbmm.errors import OrbmmError, TrainingError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE = timedelta(minutes=30)  # the first compiled step of one process may take minutes longer than that of another


def count_processes() -> int:
    """Return the number of processes that are connected."""
    return 1 if _is_alone() else distributed.get_world_size()


def find_rank() -> int:
    """Return the number of this process among those that are connected, from 0."""
    return 0 if _is_alone() else distributed.get_rank()


def is_first() -> bool:
    """Return True in the process that writes: number 0, or the only one."""
    return find_rank() == 0


def was_launched_as_first() -> bool:
    """Return True in the process that prints; it may be asked before the processes are connected."""
    return _count_launched() == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def join_processes() -> Iterator[None]:
    """Connect the processes of one training for a block. Raises TrainingError if they do not find each other."""
    if _count_launched() == 1 or not _is_alone():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())  # "cuda" is its own
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the {_count_launched()} processes of this training do not reach each other ({error}): start all of them "
            "with torchrun, or with --processes"
        ) from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, without a gradient."""
    total = value.detach().clone()
    if _is_alone():
        return total
    with _explain_lost_process():
        distributed.all_reduce(total)
    return total


def sum_gradients(network: torch.nn.Module) -> None:
    """Replace the gradients by their sums over all processes; a weight that no process uses keeps None."""
    if _is_alone():
        return
    weights = list(network.parameters())
    used = torch.tensor([weight.grad is not None for weight in weights], device=weights[0].device)
    parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    total = sum_over_processes(torch.cat([used.to(weights[0].dtype), *(part.flatten() for part in parts)]))
    sums = total[len(weights) :].split([weight.numel() for weight in weights])
    for weight, users, gradient in zip(weights, total[: len(weights)], sums, strict=True):
        weight.grad = gradient.view_as(weight).clone() if users else None


def take_share(items: Sequence[Item], sizes: Sequence[int]) -> list[Item]:
    """Return the items of this process, so that the sizes of all processes add up to about the same.

    Raises ValueError for fewer items than processes.
    """
    if len(items) < count_processes():
        raise ValueError(f"{len(items)} frames cannot be shared by {count_processes()} processes")
    loads, mine = [0] * count_processes(), []
    for index in sorted(range(len(items)), key=lambda index: -sizes[index]):
        lightest = loads.index(min(loads))
        loads[lightest] += sizes[index] + 1
        if lightest == find_rank():
            mine.append(index)
    return [items[index] for index in sorted(mine)]


def map_over_processes(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results of all items in their order, in every process; each process computes some of them.

    An error in one process is raised in all.
    """
    if _is_alone():
        return [function(item) for item in items]
    mine = agree(lambda: [function(item) for item in items[find_rank() :: count_processes()]])
    gathered = _gather(mine)
    return [gathered[index % len(gathered)][index // len(gathered)] for index in range(len(items))]


def agree(action: Callable[[], Result]) -> Result:
    """Do something in every process; an error in one of them is raised in all.

    Raises the error of this process, or TrainingError with the sentence of the first that failed.
    """
    if _is_alone():
        return action()
    own: OrbmmError | None = None
    try:
        result = action()
    except OrbmmError as error:
        own = error
    said = _gather(None if own is None else str(own))
    if own is not None:
        raise own
    for number, sentence in enumerate(said):
        if sentence is not None:
            raise TrainingError(f"process {number} of {len(said)}: {sentence}")
    return result


def check_same(fact: object, what: str) -> None:
    """Check that a fact is the same in all processes. Raises TrainingError."""
    if not _is_alone() and len(set(_gather(repr(fact)))) > 1:
        raise TrainingError(f"the processes have different {what}: all must see the same files and the same folder")


def _count_launched() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _is_alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())


def _gather(value: Any) -> list[Any]:
    gathered: list[Any] = [None] * count_processes()
    with _explain_lost_process():
        distributed.all_gather_object(gathered, value)
    return gathered


@contextmanager
def _explain_lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this training has ended: the last save is good, go on from it with --resume"
        ) from error
