"""Refit the confidence of trained weights on held-out frames, and measure on others what that changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from orbmm.checkpoints.record_in_file import format_record, read_training
from orbmm.errors import TrainingError
from orbmm.files import read_json, write_file
from orbmm.model.load import make_network
from orbmm.model.network.orb import Orb
from orbmm.training.confidence.calibration import Bin, Calibration, Recalibration, measure_calibration
from orbmm.training.confidence.head import RefitPlan, refit_confidence, require_head
from orbmm.training.data.batches import LabelledGraph, prepare_frame
from orbmm.training.data.checks import check_apart, check_frames
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import read_file
from orbmm.training.parallel import is_first
from orbmm.training.steps.task import Task, Trained

FILE = "confidence.json"
LARGEST_BYTES = 10_000_000
HELD_OUT, MORE = "held out", "more frames"


def plan_refit(task: Task, trained: Sequence[Frame]) -> RefitPlan | None:
    """Return the frames of the refit that the settings ask for, or None; called before the training begins.

    Half of the held-out groups are learned from. Without training steps all training frames are: the network has not
    seen them.
    trained: the frames of the training
    Raises TrainingError for a network without the head, bad frames, or too few of them.
    """
    settings = task.settings
    if not settings.confidence.refit:
        return None
    require_head(task.network)
    fitted, rest = split_groups(task.validation) if settings.optimizer.steps else (task.training, task.validation)
    if not fitted or not rest:
        raise TrainingError(
            f"{len(task.validation)} held-out frames are too few to refit the confidence and to measure it: give more "
            "in validation of [data], or a larger validation_share"
        )
    measured: dict[str, Sequence[LabelledGraph]] = {HELD_OUT: rest}
    if settings.confidence.frames:
        frames = [frame for path in settings.confidence.frames for frame in read_file(path, settings.data)]
        check_frames(frames, task.record, settings.data.charged_frames)
        check_apart(trained, frames)
        more, measured[MORE] = split_groups([prepare_frame(frame, task.record) for frame in frames])
        if not more:
            raise TrainingError("frames of [confidence] are too few to learn from one half and measure the other")
        fitted = [*fitted, *more]
    return RefitPlan(fitted, measured)


def split_groups(graphs: Sequence[LabelledGraph]) -> tuple[list[LabelledGraph], list[LabelledGraph]]:
    """Return the frames of every second group and those of the others; of a single group its first and second half."""
    groups = sorted({graph.group for graph in graphs})
    if len(groups) == 1:
        middle = len(graphs) // 2
        return list(graphs[:middle]), list(graphs[middle:])
    chosen = set(groups[::2])
    return [one for one in graphs if one.group in chosen], [one for one in graphs if one.group not in chosen]


def refit_weights(task: Task, trained: Trained) -> Trained:
    """Refit the confidence in the file of trained weights, as the task says; return its calibration beside the rest.

    The calibration is also kept in confidence.json and in the metadata of the weights. Of several processes the first
    does all that.
    """
    plan, weights = task.refit, trained.weights
    if plan is None or not is_first():
        return trained
    if "confidence" in read_training(weights):  # by an earlier call, after the same training
        return replace(trained, recalibration=read_recalibration(task.folder / FILE))
    network = make_network(task.record).float().eval()
    tensors = load_file(weights)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    before = _measure_all(network, plan)
    refit_confidence(network, plan.fitted, task.settings.loss.errors_beyond, task.settings.run.seed)
    found = Recalibration(before, _measure_all(network, plan))
    for name, tensor in network.state_dict().items():
        tensors[name] = tensor.contiguous()
    confidence = {"frames": len(plan.fitted), "calibration": asdict(found)["after"]}
    training = read_training(weights) | {"confidence": confidence}
    write_file(weights, save(tensors, metadata=format_record(task.record, training)))
    write_file(task.folder / FILE, (json.dumps(asdict(found), indent=1) + "\n").encode())
    return replace(trained, recalibration=found)


def read_recalibration(path: Path) -> Recalibration:
    """Read the calibration that refit_weights has kept. Raises TrainingError for a file that is damaged or gone."""
    try:
        kept = read_json(path, LARGEST_BYTES)
        before, after = ({name: _parse(entry) for name, entry in kept[key].items()} for key in ("before", "after"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is gone or damaged: remove {path.parent} and train again") from error
    return Recalibration(before, after)


def _parse(entry: dict[str, Any]) -> Calibration:
    return Calibration(**entry | {"bins": tuple(Bin(**one) for one in entry["bins"])})


def _measure_all(network: Orb, plan: RefitPlan) -> dict[str, Calibration]:
    return {name: measure_calibration(network, graphs) for name, graphs in plan.measured.items()}
