"""One line of settings to a Dask client: processes here, a running scheduler, or jobs of a cluster."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbmm.ensemble.jobs import CLUSTERS, JobList, check_submission, import_jobqueue, open_queue
from orbmm.ensemble.task import end_runs
from orbmm.errors import MissingDependency, RunError, SettingsError, quote_reason
from orbmm.local_workers import configure_dask, start_local_cluster
from orbmm.settings import SchedulerSettings

if TYPE_CHECKING:
    from distributed import Client

_LOG = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
SECONDS_TO_ANSWER = 3.0
"""Time in which a scheduler must answer to be reached by a plan, which waits for nothing else."""

MOST_FAILED_STARTS = 10
SECONDS_AFTER_REFUSAL = 60.0
_EACH_LOSS_COUNTS = {"distributed.scheduler.allowed-failures": 0}  # by the ensemble
_CUDA_DRIVER, _AMD_DRIVER = "libcuda.so.1", "/dev/kfd"
_INSTALL = "install it with the extra `ensemble`: pip install 'orbmm[ensemble]'"


@dataclass
class Session:
    """A connection to the scheduler.

    gpus: of local workers, None if others choose; cluster, workers: what was started, None and 0 for an address
    jobs: the list of the queue, None without one; name: a text that no other session has
    """

    client: Client
    gpus: tuple[str, ...] | None = None
    cluster: Any = None
    workers: int = 0
    jobs: JobList | None = None
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _failed_starts: int = 0
    _next_start: float = 0.0
    _began: set[str] = field(default_factory=set)

    @property
    def dashboard(self) -> str:
        """Return the address of Dask's own page; "" if there is none."""
        return self.client.dashboard_link or ""

    def end_runs(self) -> None:
        """Let all runs of this session save a checkpoint and end, on every worker. No run begins after that."""
        self.client.run(end_runs, self.name, on_error="ignore")

    def replace_workers(self) -> None:
        """Start a process or a job in place of each that is gone.

        Their number is never lowered: Dask would end any of them, busy or not.
        Raises RunError if the queue refuses the first jobs, or workers end again and again while they start.
        """
        if self.cluster is None:
            return
        ended = self._take_ended()
        refusals = [one.refusal for one in ended if getattr(one, "refusal", "")]
        self._failed_starts += len(ended)
        if refusals:
            self._consider_refusal(refusals[-1])
        if self._failed_starts > MOST_FAILED_STARTS:
            raise RunError(f"{self._failed_starts} workers ended while they started; {self._advise()}")
        if time.monotonic() >= self._next_start:
            self.cluster.scale(self.workers)

    def _take_ended(self) -> list[Any]:
        """Return the workers that ended while they started, and let Dask count neither these nor jobs that are gone."""
        from distributed.core import Status

        known = self.cluster.workers
        reported = {str(one["name"]) for one in self.client.scheduler_info()["workers"].values()}
        if reported:
            self._failed_starts = 0
        ended = [known.pop(name) for name, worker in list(known.items()) if worker.status.name == "failed"]
        if self.jobs is None:
            return ended
        numbers = {str(worker.job_id): name for name, worker in list(known.items())}
        self._began |= {job for job, name in numbers.items() if str(name) in reported}
        silent = {job for job, name in numbers.items() if str(name) not in reported}
        for job in self.jobs.find_gone(silent):
            worker = known.pop(numbers[job])
            worker.status = Status.failed  # or Dask does not let the cluster end
            if job not in self._began:
                _LOG.warning("job %s ended before its worker started; another one is submitted", job)
                ended.append(worker)
        return ended

    def _consider_refusal(self, said: str) -> None:
        """Raise RunError if the queue has accepted no job; else wait before the next one is submitted."""
        if not (self.cluster.workers or self._began):
            raise RunError(f"the queue refuses the jobs ({said}); correct [scheduler], or give the command again later")
        _LOG.warning("the queue refuses a job (%s); it is submitted again in %g s", said, SECONDS_AFTER_REFUSAL)
        self._next_start = time.monotonic() + SECONDS_AFTER_REFUSAL

    def _advise(self) -> str:
        if self.jobs is not None:
            return "their messages are in the folder `jobs` of the ensemble; correct prologue or memory in [scheduler]"
        return (
            'in a script of yours, call run_ensemble below `if __name__ == "__main__":`, as workers import the script'
        )


def check_dask(kind: str) -> None:
    """Raise MissingDependency if the packages for this kind of scheduler are not installed."""
    try:
        import distributed  # noqa: F401

        if kind in CLUSTERS:
            import_jobqueue()
    except ImportError as error:
        package = "dask-jobqueue" if "jobqueue" in str(error) else "distributed"
        raise MissingDependency(f"an ensemble needs the package {package}{quote_reason(error)}; {_INSTALL}") from error


def find_obstacle(settings: SchedulerSettings) -> str:
    """Return why no replica could run from here now: no Dask, no scheduler, no queue; "" if nothing is in the way."""
    try:
        check_dask(settings.kind)
        if settings.kind in CLUSTERS:
            check_submission(settings.kind)
        elif settings.kind == "address":
            with configure_dask(), _connect(settings, SECONDS_TO_ANSWER):
                pass
    except (MissingDependency, RunError) as error:
        return str(error)
    return ""


@contextmanager
def open_session(settings: SchedulerSettings, devices: Sequence[str], logs: Path) -> Iterator[Session]:
    """Connect to the scheduler, or start one with its workers, which end with the block.

    devices: of the model of each replica, which decide about GPUs; more workers than replicas are not started
    logs: folder for the messages of jobs
    Raises MissingDependency without Dask, RunError for a scheduler that is not there.
    """
    check_dask(settings.kind)
    from distributed import Client

    if settings.kind == "address":
        with configure_dask(), _connect(settings, CONNECT_SECONDS) as client:
            yield Session(client)
        return
    gpus = choose_gpus(settings, devices) if settings.kind == "local" else None
    workers = min(choose_workers(settings, gpus), len(devices))
    with (
        configure_dask(_EACH_LOSS_COUNTS),
        _open_cluster(settings, logs) as cluster,
        Client(cluster) as client,
    ):
        jobs = JobList(settings.kind) if settings.kind in CLUSTERS else None
        session = Session(client, gpus, cluster, workers, jobs)
        client.register_plugin(_leave_interrupts_to_coordinator() if jobs is None else _end_runs_with_job(session.name))
        session.replace_workers()
        yield session


def choose_gpus(settings: SchedulerSettings, devices: Sequence[str]) -> tuple[str, ...] | None:
    """Return the GPUs of local workers: those of the settings, else all that are visible; None to choose none.

    devices: of the models. Raises SettingsError if one names a GPU by its number, which a worker does not see as such.
    """
    numbered = [device for device in devices if ":" in device]
    if settings.gpus and numbered:
        raise SettingsError(
            f"device is {numbered[0]}, but gpus gives each worker one GPU, which it sees as the first one; "
            'write device = "cuda" in [model], or remove gpus'
        )
    if settings.gpus is not None:
        return settings.gpus
    if numbered or all(device == "cpu" for device in devices):
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(one for one in visible.split(",") if one) or None
    if not _may_have_gpus():
        return None
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count())) or None


def _may_have_gpus() -> bool:
    """Return False where no driver of a GPU can be loaded. torch then finds none, and its import is saved."""
    if sys.platform != "linux" or Path(_AMD_DRIVER).exists():
        return True
    try:
        ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return False
    return True


def choose_workers(settings: SchedulerSettings, gpus: tuple[str, ...] | None) -> int:
    """Return the number of workers. Raises SettingsError for more workers than GPUs."""
    if gpus and settings.workers is not None and settings.workers > len(gpus):
        raise SettingsError(
            f"workers is {settings.workers}, but there are {len(gpus)} gpus ({', '.join(gpus)}), one a worker; "
            "lower workers, or name a GPU twice in gpus"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or (len(gpus) if gpus else cores if settings.kind == "local" else 1)


def _connect(settings: SchedulerSettings, seconds: float) -> Client:
    from distributed import Client

    try:
        return Client(settings.address, timeout=seconds)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise RunError(
            f"no Dask scheduler answers at {settings.address}{quote_reason(error)}; start one with `dask scheduler`, "
            "or correct address in [scheduler]"
        ) from error


def _open_cluster(settings: SchedulerSettings, logs: Path) -> Any:
    """Return a cluster that has no workers yet; each will take one replica at a time."""
    return start_local_cluster(0) if settings.kind == "local" else open_queue(settings, logs)


def _end_runs_with_job(session: str) -> Any:
    """Return a plugin with which the worker of a job that is told to end lets its run save a checkpoint before."""
    from distributed import WorkerPlugin

    class EndRuns(WorkerPlugin):
        """End the runs of a session, for which the worker then waits."""

        name = "end-runs"

        def teardown(self, worker: Any) -> None:
            """Do so when the worker ends."""
            end_runs(session)

    return EndRuns()


def _leave_interrupts_to_coordinator() -> Any:
    """Return a plugin with which local workers ignore Ctrl-C, which a terminal sends to them too."""
    from distributed import WorkerPlugin

    class IgnoreInterrupts(WorkerPlugin):
        """Ignore SIGINT in the process of a worker."""

        name = "ignore-interrupts"

        def setup(self, worker: Any) -> None:
            """Do so when a worker starts."""
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return IgnoreInterrupts()
