"""Replay: frames of the domain that the start network knows, mixed into the batches so that it is not forgotten."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orbmm.errors import TrainingError
from orbmm.model.network.orb import Orb
from orbmm.settings.training import TrainingSettings
from orbmm.training.data.batches import join_graphs, prepare_frame
from orbmm.training.data.checks import check_structure, hash_structure
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import LabelledData, read_file, split_frames
from orbmm.training.data.run_frames import read_all_structures
from orbmm.training.start.begin import Start

_LOG = logging.getLogger(__name__)


def read_replay(settings: TrainingSettings, data: LabelledData) -> LabelledData:
    """Return the frames of [replay], with their labels if these are given; nothing without such frames.

    Structures that are among the new frames too are left out: frames to label are often chosen from a run of the base.
    Raises TrainingError for a file that cannot be read.
    """
    replay = settings.replay
    if not replay.frames:
        return LabelledData([], [])
    if replay.labels == "given":
        frames = [frame for path in replay.frames for frame in read_file(path, settings.data)]
    else:
        frames = read_all_structures(replay.frames)
    known = {hash_structure(frame) for frame in [*data.training, *data.validation]}
    unknown = [frame for frame in frames if hash_structure(frame) not in known]
    if len(unknown) < len(frames):
        _LOG.info("%d frames of [replay] are left out: they are among the new ones", len(frames) - len(unknown))
    try:
        split = split_frames(unknown, replay.validation_share, settings.run.seed)
    except TrainingError as error:
        raise TrainingError(f"[replay]: {error}") from error
    if not split.training:
        raise TrainingError("no frame is left to replay: give more frames, or a smaller validation_share in [replay]")
    return split


def label_with_start(frames: Sequence[Frame], start: Start, charged: str = "refuse") -> list[Frame]:
    """Return frames with the energies, forces and stress of the start network, after its references were fitted.

    So both domains have the same reference energies, whatever the theory of the new labels. charged: as in
    check_frames. Raises TrainingError for a structure that the network cannot take.
    """
    for frame in frames:
        check_structure(frame, start.record, charged)
    return [_label(frame, start.network, start) for frame in frames]


def _label(frame: Frame, network: Orb, start: Start) -> Frame:
    blank = replace(frame, energy=0.0, forces=np.zeros_like(frame.positions))
    outputs = {"energy", "forces"} | ({"stress"} & network.available_outputs if frame.cell is not None else set())
    found = network(join_graphs([prepare_frame(blank, start.record)]).graph, frozenset(outputs))
    if found.energy is None or found.forces is None:
        raise ValueError("the start network gave no energy or no forces")
    return replace(
        frame,
        energy=float(found.energy.detach()),
        forces=found.forces.detach().double().numpy(),
        stress=None if found.stress is None else found.stress.detach()[0].double().numpy(),
    )
