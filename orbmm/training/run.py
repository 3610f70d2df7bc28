"""Train from a settings file: read and check the frames, begin, train, and leave everything in one folder."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.errors import TrainingError
from orbmm.files import make_folder
from orbmm.settings.toml import write_settings
from orbmm.settings.training import TrainedModelSettings, TrainingSettings
from orbmm.training.batches import LabelledGraph, prepare_frame
from orbmm.training.checks import check_apart, check_frames, check_units, list_elements, warn_of_unseen
from orbmm.training.dataset import Frame, hash_frames
from orbmm.training.loop import OnRow, Task, Trained, train
from orbmm.training.reading import LabelledData, read_data
from orbmm.training.refit import plan_refit, refit_weights
from orbmm.training.rollout import choose_frames
from orbmm.training.start import Start, begin_training, compute_force_scale, refit_references
from orbmm.training.state import FILE, identify
from orbmm.training.tensorboard import follow_with_tensorboard

SETTINGS_FILE = "training.toml"
_LOG = logging.getLogger(__name__)


def run_training(settings: TrainingSettings, resume: bool = False, on_row: OnRow = lambda row: None) -> Trained:
    """Train as the settings say; everything is kept in their output folder.

    resume: go on with a training in that folder; otherwise the folder must not hold one
    Raises TrainingError for bad frames, or a folder that does not fit `resume`; the errors of load_model.
    """
    folder = settings.run.output or Path("training") / settings.model.name
    _check_folder(folder, resume)
    data = read_data(settings.data, settings.run.seed)
    task = prepare_task(settings, data, folder)
    plan = plan_refit(task, data.training)
    make_folder(folder)
    write_settings(settings, folder / SETTINGS_FILE, overwrite=True)
    if settings.run.tensorboard:
        on_row = follow_with_tensorboard(folder, on_row)
    trained = train(task, on_row)
    return trained if plan is None else replace(trained, recalibration=refit_weights(task, plan, trained.weights))


def prepare_task(settings: TrainingSettings, data: LabelledData, folder: Path) -> Task:
    """Check the frames, load the start, and fit its reference energies to the labels. Raises TrainingError."""
    frames = [*data.training, *data.validation]
    if not data.training:
        raise TrainingError("no frame is left to train on: give more frames, or a smaller validation_share")
    base = resolve_base(settings.model)
    check_frames(data.training, base, settings.data.charged_frames)
    if data.validation:
        check_frames(data.validation, base, settings.data.charged_frames)
        check_apart(data.training, data.validation)
        warn_of_unseen(data.training, data.validation)
    start = begin_training(settings, base, data.training)
    training, validation = (_prepare_all(part, start) for part in (data.training, data.validation))
    if not settings.model.from_scratch:
        check_units(start.network, training, settings.data.force_unit)
        if settings.optimizer.steps:
            refit_references(start.network, training)
    _LOG.info(
        "%d frames with %s to train on, %d held out",
        len(training),
        describe_elements(list_elements(data.training)),
        len(validation),
    )
    return Task(
        network=start.network,
        record=start.record,
        training=training,
        validation=validation,
        force_scale=compute_force_scale(data.training),
        settings=settings,
        folder=folder,
        identity=identify(settings, hash_frames(frames)),
        unused=start.unused,
        rollout=choose_frames(data.validation, settings.validation),
    )


def resolve_base(model: TrainedModelSettings) -> CheckpointRecord:
    """Return the record of the start, with the repulsion that the model shall have. Raises as load_model does."""
    base = resolve_record(model.start, model.weights)
    aggregation = model.zbl_aggregation or base.oddities.zbl_aggregation
    return replace(base, oddities=replace(base.oddities, zbl_aggregation=aggregation))


def _prepare_all(frames: list[Frame], start: Start) -> list[LabelledGraph]:
    return [prepare_frame(frame, start.record) for frame in frames]


def _check_folder(folder: Path, resume: bool) -> None:
    begun = (folder / FILE).exists()
    if resume and not begun:
        raise TrainingError(f"{folder} holds no training to go on with: leave --resume away, or name its output")
    if begun and not resume:
        raise TrainingError(f"{folder} holds a training already: go on with --resume, or name another output")
