"""Train from a settings file: read and check the frames, begin, train, and leave everything in one folder."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord, describe_elements
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.checkpoints.store import locate_weights
from orbmm.errors import TrainingError
from orbmm.files import make_folder
from orbmm.settings.toml import write_settings
from orbmm.settings.training import TrainedModelSettings, TrainingSettings
from orbmm.training.data.batches import LabelledGraph, prepare_frame
from orbmm.training.data.checks import check_apart, check_frames, check_units, list_elements, warn_of_unseen
from orbmm.training.data.frames import Frame, hash_frames
from orbmm.training.data.reading import LabelledData, read_data
from orbmm.training.parallel import agree, is_first, join_processes
from orbmm.training.refit import plan_refit, refit_weights
from orbmm.training.start.begin import Start, begin_training
from orbmm.training.start.replay import label_with_start, read_replay
from orbmm.training.start.statistics import compute_force_scale, refit_references
from orbmm.training.steps.history import OnRow, follow_with_tensorboard
from orbmm.training.steps.loop import train
from orbmm.training.steps.state import FILE, identify
from orbmm.training.steps.task import Task, Trained
from orbmm.training.validation.rollout import choose_frames

NOTHING = LabelledData([], [])
SETTINGS_FILE = "training.toml"
_LOG = logging.getLogger(__name__)


def run_training(settings: TrainingSettings, resume: bool = False, on_row: OnRow = lambda row: None) -> Trained:
    """Train as the settings say; everything is kept in their output folder.

    resume: go on with a training in that folder; otherwise the folder must not hold one
    Raises TrainingError for bad frames, or a folder that does not fit `resume`; the errors of load_model.
    """
    folder = settings.run.output or Path("training") / settings.model.name
    with join_processes():
        task = agree(lambda: _begin(settings, folder, resume))
        if settings.run.tensorboard:
            on_row = follow_with_tensorboard(folder, on_row)
        return refit_weights(task, train(task, on_row))


def _begin(settings: TrainingSettings, folder: Path, resume: bool) -> Task:
    """Read and check everything, and write the settings to the folder."""
    _check_folder(folder, resume)
    data = read_data(settings.data, settings.run.seed)
    task = prepare_task(settings, data, folder, read_replay(settings, data))
    task = replace(task, refit=plan_refit(task, data.training))
    if is_first():
        make_folder(folder)
        write_settings(settings, folder / SETTINGS_FILE, overwrite=True)
    return task


def prepare_task(settings: TrainingSettings, data: LabelledData, folder: Path, old: LabelledData = NOTHING) -> Task:
    """Check the frames, load the start, and fit its reference energies to the labels.

    old: frames of [replay]. Raises TrainingError.
    """
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
    replay, old_validation = _prepare_replay(settings, data, old, start)
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
        identity=identify(settings, _hash_data(settings, base, data, old)),
        unused=start.unused,
        replay=replay,
        old_validation=old_validation,
        rollout=choose_frames(data.validation, settings.validation),
    )


def _hash_data(settings: TrainingSettings, base: CheckpointRecord, data: LabelledData, old: LabelledData) -> str:
    """Return the sha256 of all frames, of what each is for, and of the weights that label the old ones."""
    parts = [hash_frames(frames) for frames in (data.training, data.validation, old.training, old.validation)]
    if old.training and settings.replay.labels == "start" and not settings.model.from_scratch:
        parts.append(locate_weights(base, settings.model.weights).sha256)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _prepare_replay(
    settings: TrainingSettings, data: LabelledData, old: LabelledData, start: Start
) -> tuple[list[LabelledGraph], list[LabelledGraph]]:
    """Return the graphs of the replay, to train on and held out, labelled by the start where labels are not given."""
    own = resolve_record(settings.model.start, settings.model.weights).oddities.zbl_aggregation
    if old.training and settings.replay.labels == "start" and own != start.record.oddities.zbl_aggregation:
        raise TrainingError(
            f'the start has zbl_aggregation = "{own}", so it cannot label frames of [replay] for another repulsion: '
            'label them with `orbmm label`, and set labels = "given"'
        )
    prepared = []
    for frames in (old.training, old.validation):
        charged = settings.data.charged_frames
        labelled = frames if settings.replay.labels == "given" else label_with_start(frames, start, charged)
        if labelled:
            check_frames(labelled, start.record, charged)
        prepared.append(_prepare_all(labelled, start))
    check_apart([*data.training, *old.training], [*data.validation, *old.validation])
    if old.training:
        _LOG.info("%d frames to replay, %d held out", len(old.training), len(old.validation))
    return prepared[0], prepared[1]


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
