"""Train a network on labelled frames; a training can be resumed, and is reproducible from its seed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict

import torch
from safetensors.torch import load_file, save

from orbmm.checkpoints.record_in_file import format_record
from orbmm.errors import TrainingError
from orbmm.files import write_file
from orbmm.model.network.orb import Orb
from orbmm.model.precision import find_device
from orbmm.settings.training import TrainingSettings
from orbmm.training.data.batches import Batch, LabelledGraph, join_graphs, random_rotation, rotate_graph
from orbmm.training.device import locate, set_precision
from orbmm.training.parallel import (
    agree,
    check_same,
    count_processes,
    is_first,
    sum_gradients,
    sum_over_processes,
    take_share,
)
from orbmm.training.steps.history import OnRow, Row, write_history
from orbmm.training.steps.losses import Losses, compute_losses
from orbmm.training.steps.optimizer import MixedOptimizer
from orbmm.training.steps.state import Course, read_state, write_state
from orbmm.training.steps.task import Task, Trained
from orbmm.training.validation.errors import OLD_DOMAIN, Errors, validate
from orbmm.training.validation.rollout import STABLE, roll_out

REPORT = "validation.json"


def train(task: Task, on_row: OnRow = lambda row: None) -> Trained:
    """Train until all steps are done or the force error no longer falls, going on from the state in the folder.

    on_row: called with each row of history.csv
    The weights are the exponential average over the steps: those of the last step, or with a patience those of the
    lowest validated force error. Raises TrainingError for a loss that is not finite.
    """
    settings = task.settings
    device = find_device(settings.run.device)
    average = deepcopy(task.network).requires_grad_(False).eval().to(device)
    set_precision(task.network.to(device), settings.run.precision)
    course = Course(task.network, average, MixedOptimizer(task.network, settings.optimizer))
    before = _validate(task, average)
    agree(lambda: read_state(task.folder, task.identity, course))
    check_same((task.identity.data_sha256, course.step), "frames or saved steps")
    if settings.run.compile:
        course.network.compile_network()
    began, first_step = time.monotonic(), course.step
    while course.step < settings.optimizer.steps and not _is_exhausted(course, settings):
        losses = _take_step(task, course)
        last = course.step == settings.optimizer.steps
        if course.step % settings.run.validate_every == 0 or last:
            _note_row(task, course, losses, time.monotonic() - began)
            on_row(course.rows[-1])
        if course.step % settings.run.save_every == 0 or last or _is_exhausted(course, settings):
            _save(task, course)
    return _conclude(task, course, before, is_new=course.step > first_step)


def _take_step(task: Task, course: Course) -> Losses:
    """Draw a batch and update the weights."""
    settings, network = task.settings, course.network
    batch = _draw(task.training, settings, course.step, task.replay).to(locate(network))
    prediction = network(batch.graph, _choose_outputs(network, batch, settings))
    progress = course.step / settings.optimizer.steps
    losses = compute_losses(network, prediction, batch, settings.loss, task.force_scale, progress)
    if not torch.isfinite(sum_over_processes(losses.total)):
        raise TrainingError(
            f"the loss is not finite at step {course.step + 1}: the last save, {task.folder / 'training.pt'}, is good; "
            "train again with a lower learning_rate"
        )
    losses.total.backward()
    sum_gradients(network)
    _clip(network, settings.optimizer.clip)
    course.optimizer.step()
    course.step += 1
    _update_average(course.average, network, course.step, settings.optimizer.average_decay)
    return losses


def _choose_outputs(network: Orb, batch: Batch, settings: TrainingSettings) -> frozenset[str]:
    wanted = {"energy", "forces"} | ({"confidence_logits"} if "confidence" in network.heads else set())
    if settings.loss.stress_weight and torch.isfinite(batch.stress).any() and "stress" in network.available_outputs:
        wanted.add("stress")
    if settings.loss.rotation_share:
        wanted.add("rotational_gradient")
    return frozenset(wanted)


def _clip(network: Orb, largest: float) -> None:
    """Clip the gradient of the confidence head by itself: it learns from the others' errors, not with them."""
    parts: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for name, weight in network.named_parameters():
        parts[name.startswith("heads.confidence.")].append(weight)
    for weights in parts.values():
        torch.nn.utils.clip_grad_norm_(weights, largest)


def _draw(
    graphs: Sequence[LabelledGraph], settings: TrainingSettings, step: int, replay: Sequence[LabelledGraph] = ()
) -> Batch:
    """Draw and rotate the frames of one step; they depend only on seed and step, so resuming changes nothing.

    A batch holds frames with a cell or frames without one: forces of a direct network differ in what is removed.
    Of several processes each gets its share of the batch, at least one frame.
    """
    draw = random.Random(settings.run.seed * 1_000_003 + step)
    first = _choose(draw, graphs, replay, settings.replay.share)
    new, old = ([one for one in part if (one.cell is None) == (first.cell is None)] for part in (graphs, replay))
    chosen, edges = [first], len(first.senders)
    while edges < settings.optimizer.edges_per_batch or len(chosen) < count_processes():
        chosen.append(_choose(draw, new, old, settings.replay.share))
        edges += len(chosen[-1].senders) + 1  # a lone atom has no edges, and must come to an end too
    generator = torch.Generator().manual_seed(draw.getrandbits(40))
    turned = [rotate_graph(graph, random_rotation(generator)) for graph in chosen]
    return join_graphs(take_share(turned, [len(graph.senders) for graph in turned]))


def _choose(
    draw: random.Random, new: Sequence[LabelledGraph], old: Sequence[LabelledGraph], share: float
) -> LabelledGraph:
    """Return a graph of the old domain with the probability of its share, as far as there are any."""
    return draw.choice(old if old and (not new or draw.random() < share) else new)


def _update_average(average: Orb, network: Orb, step: int, largest_decay: float) -> None:
    """Update the average; it follows the network closely at first, so that a random start is soon forgotten."""
    decay = min(largest_decay, step / (9 + step))
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1.0 - decay)


def _note_row(task: Task, course: Course, losses: Losses, seconds: float) -> None:
    """Validate the average and add one row to the history."""
    row: Row = {"step": float(course.step), "seconds": seconds}
    row |= {
        f"{name}_loss": float(sum_over_processes(getattr(losses, name)))
        for name in ("forces", "energy", "stress", "rotation")
    }
    table = _validate(task, course.average)
    if OLD_DOMAIN in table:
        row["old_forces_mev_per_angstrom"] = table[OLD_DOMAIN].forces_mev_per_angstrom
    if task.validation:
        errors = table["all"]
        row |= {name: value for name, value in asdict(errors).items() if value is not None and "_" in name}
        stable = _passes_rollout(task, course, row)
        improved = stable and errors.forces_mev_per_angstrom < course.best
        course.waited = 0 if improved else course.waited + 1
        if improved:
            course.best = errors.forces_mev_per_angstrom
        if improved and _keeps_best(task):
            write_weights(task, course.average, table, course.step)
    course.rows.append(row)


def _validate(task: Task, network: Orb) -> dict[str, Errors]:
    """Return the errors on held-out frames by group, and beside them those on the old domain."""
    table = validate(network, task.validation) if task.validation else {}
    if task.old_validation:
        table[OLD_DOMAIN] = validate(network, task.old_validation)["all"]
    return table


def _passes_rollout(task: Task, course: Course, row: Row) -> bool:
    """Write the end of short dynamics of the average into the row, and return True if they are stable."""
    if not task.rollout:
        return True
    settings = task.settings
    row["rollout"] = roll_out(course.average, task.record, task.rollout, settings.validation, settings.run.device)
    return row["rollout"] == STABLE


def _find_instability(task: Task, course: Course) -> str | None:
    """Return the sentence of the guard on the weights that are written; None for stable dynamics, or without any."""
    if not task.rollout or (_keeps_best(task) and course.best < float("inf")):
        return None
    said = str(course.rows[-1].get("rollout", STABLE)) if course.rows else STABLE
    return None if said == STABLE else said


def _keeps_best(task: Task) -> bool:
    return bool(task.settings.run.patience and task.validation)


def _is_exhausted(course: Course, settings: TrainingSettings) -> bool:
    return 0 < settings.run.patience <= course.waited


def _save(task: Task, course: Course) -> None:
    if not is_first():
        return
    write_state(task.folder, task.identity, course)
    if not _keeps_best(task):
        write_weights(task, course.average, {}, course.step)
    write_history(task.folder, course.rows)


def _conclude(task: Task, course: Course, before: dict[str, Errors], is_new: bool) -> Trained:
    """Write the weights and the errors before and after.

    is_new: this call has trained; otherwise what an earlier one has written stays as it is
    """
    stopped_early = _is_exhausted(course, task.settings)
    path, report = task.folder / f"{task.record.name}.safetensors", task.folder / REPORT
    is_best = _keeps_best(task) and course.best < float("inf")  # otherwise no weights had stable dynamics
    if is_best:
        if not path.is_file():
            raise TrainingError(f"{path} with the best weights is gone: bring it back, or train again elsewhere")
        tensors = load_file(path)
        course.average.load_state_dict({name: tensors[name] for name in course.average.state_dict()})
    after = _validate(task, course.average)
    if is_first() and (is_new or not report.exists()):
        if not is_best:
            write_weights(task, course.average, after, course.step)
        tables = {"before": before, "after": after}
        errors = {name: {group: asdict(each) for group, each in table.items()} for name, table in tables.items()}
        write_file(report, json.dumps(errors, indent=1).encode())
    return Trained(path, before, after, stopped_early, instability=_find_instability(task, course))


def write_weights(task: Task, network: Orb, errors: dict[str, Errors], steps: int) -> None:
    """Write the tensors of a network as safetensors, with official names, and with the record of the model.

    Of several processes only the first writes.
    """
    if not is_first():
        return
    training = {
        "data_sha256": task.identity.data_sha256,
        "settings": task.identity.settings,
        "steps": steps,
        "frames": len(task.training),
        "errors": {group: asdict(each) for group, each in errors.items()},
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in {**task.unused, **network.state_dict()}.items()}
    content = save(tensors, metadata=format_record(task.record, training))
    write_file(task.folder / f"{task.record.name}.safetensors", content)
