"""Distil a teacher into a student: dynamics, labels, training, and the student's own dynamics under the guard.

Each part leaves a file in the folder of the distillation. A repeated call goes on after the last part that is there.
"""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orbmm.distillation.plan import Plan
from orbmm.errors import UnstableRun
from orbmm.files import read_json, write_file
from orbmm.run_files.layout import RunFolder
from orbmm.settings import Settings, read_training_settings, write_settings
from orbmm.simulation.progress import OnProgress, ignore_progress
from orbmm.simulation.run import Outcome, find_output, resume_run, start_run
from orbmm.training.data.run_frames import read_run_frames
from orbmm.training.labels.label import Labelling, label_file
from orbmm.training.run import run_training
from orbmm.training.steps.history import OnRow
from orbmm.training.steps.state import FILE
from orbmm.training.steps.task import Trained
from orbmm.training.validation.errors import Errors

SUMMARY = "summary.json"
_COST = "labels.json"
_LARGEST_BYTES = 1_000_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Display:
    """The functions that show the progress of each part."""

    follow_run: Callable[[], AbstractContextManager[OnProgress]] = lambda: nullcontext(ignore_progress)
    on_labels: Callable[[Labelling], None] = lambda labelling: None
    on_row: OnRow = lambda row: None


@dataclass(frozen=True)
class LabelCost:
    """The cost of the teacher's labels. frames: labelled; cpu_seconds: for each of them, on this machine."""

    frames: int
    cpu_seconds: float


@dataclass(frozen=True)
class Summary:
    """The result of a distillation.

    weights: of the student; errors: to the teacher, on held-out frames, by group
    instability: why the guard stopped the student's dynamics; None where it reached its length, rollout_ps
    """

    weights: Path
    cost: LabelCost
    errors: dict[str, Errors]
    rollout_ps: float
    instability: str | None


def distill(plan: Plan, workers: int = 1, display: Display | None = None) -> Summary | None:
    """Return the summary of a distillation; None if a run was stopped by a signal, and is to be gone on with.

    workers: processes that label
    Raises TrainingError for a folder of another plan or of other weights, UnstableRun if the teacher itself fails, and
    the errors of runs and trainings.
    """
    display = display or Display()
    plan.keep()
    plan.keep_networks()
    if not plan.training.exists():
        write_settings(plan.plan_training(), plan.training)
    for temperature in plan.temperatures:
        if not plan.frames.exists() and not _run(plan.plan_dynamics(temperature), display).finished:
            return None
    cost = _label(plan, workers, display)
    trained = _train(plan, display)
    instability = None
    try:
        if not _run(plan.plan_rollout(trained.weights), display).finished:
            return None
    except UnstableRun as error:
        instability = str(error)
    summary = Summary(trained.weights, cost, trained.after, plan.rollout_ps, instability)
    _write_summary(plan, summary)
    return summary


def _run(settings: Settings, display: Display) -> Outcome:
    """Start a run, or go on with it. Raises UnstableRun also for a run that the guard stopped before."""
    path = find_output(settings)
    _LOG.info("%s: %g ps at %g K", path.name, settings.run.length_ps, settings.run.temperature_kelvin)
    begun = RunFolder(path)
    with display.follow_run() as on_progress:
        if not begun.record.exists():
            return start_run(settings, on_progress)
        reason = begun.read_reason()
        if reason is not None:
            raise UnstableRun(reason)
        return resume_run(path, on_progress)


def _label(plan: Plan, workers: int, display: Display) -> LabelCost:
    """Label the frames of the runs with the teacher, unless they are labelled."""
    path = plan.folder / _COST
    if plan.frames.exists() and path.exists():
        return LabelCost(**read_json(path, _LARGEST_BYTES))
    folders = [find_output(plan.plan_dynamics(temperature)) for temperature in plan.temperatures]
    model = plan.system.model
    frames = [
        replace(frame, charge=model.charge, multiplicity=model.multiplicity)
        for folder in folders
        for frame in read_run_frames(folder)[1:]  # all begin with the same one
    ]
    _LOG.info("%d frames to label", len(frames))
    seen: list[int] = []

    def note(labelling: Labelling) -> None:
        seen.append(labelling.done + labelling.left_out)
        display.on_labels(labelling)

    begin = _count_cpu_seconds()
    label_file(frames, plan.frames, f"orbmm:{plan.teacher}", workers, on_progress=note)
    labelled = max(1, seen[-1] - seen[0])
    cost = LabelCost(len(frames), (_count_cpu_seconds() - begin) / labelled)
    write_file(path, (json.dumps(asdict(cost), indent=1) + "\n").encode())
    return cost


def _count_cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it started and that have ended [s]."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _train(plan: Plan, display: Display) -> Trained:
    """Train the student with the settings in the folder, which a user may have changed."""
    settings = read_training_settings(plan.training)
    folder = settings.run.output or plan.folder / "training"
    return run_training(settings, (folder / FILE).exists(), display.on_row)


def _write_summary(plan: Plan, summary: Summary) -> None:
    facts = asdict(summary) | {"weights": str(summary.weights), "teacher": plan.teacher, "student": plan.student}
    write_file(plan.folder / SUMMARY, (json.dumps(facts, indent=1) + "\n").encode())
