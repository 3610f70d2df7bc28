"""A training that is read and checked, and the end of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.model.network.orb import Orb
from orbmm.settings.training import TrainingSettings
from orbmm.training.confidence.calibration import Recalibration
from orbmm.training.confidence.head import RefitPlan
from orbmm.training.data.batches import LabelledGraph
from orbmm.training.data.frames import Frame
from orbmm.training.steps.state import Identity
from orbmm.training.validation.errors import Errors


@dataclass(frozen=True)
class Task:
    """One training, read and checked.

    network: to be trained, in training mode; record: of the result
    training, validation: graphs with labels; force_scale: root mean square of the label forces [eV/Å]
    identity: what a resumed training must have in common with the one that it goes on with
    unused: tensors that are written beside those of the network
    rollout: held-out frames that dynamics start from at each validation
    refit: the frames on which the confidence is refitted at the end; None for no refit
    replay, old_validation: graphs of the domain that the start knows, to train on and held out
    """

    network: Orb
    record: CheckpointRecord
    training: Sequence[LabelledGraph]
    validation: Sequence[LabelledGraph]
    force_scale: float
    settings: TrainingSettings
    folder: Path
    identity: Identity
    unused: Mapping[str, Tensor]
    rollout: Sequence[Frame] = ()
    refit: RefitPlan | None = None
    replay: Sequence[LabelledGraph] = ()
    old_validation: Sequence[LabelledGraph] = ()


@dataclass(frozen=True)
class Trained:
    """The end of a training.

    weights: the file with its record; before, after: validation errors by group
    recalibration: None unless the confidence was refitted
    instability: the sentence of the guard, if dynamics of the written weights break
    """

    weights: Path
    before: dict[str, Errors]
    after: dict[str, Errors]
    stopped_early: bool
    recalibration: Recalibration | None = None
    instability: str | None = None
