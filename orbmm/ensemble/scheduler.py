"""One line of settings to a Dask client: processes here, a running scheduler, or jobs of a cluster."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orbmm.ensemble.task import end_runs
from orbmm.errors import MissingDependency, RunError, SettingsError, quote_reason
from orbmm.settings import SchedulerSettings

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
_JOBS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}
_INSTALL = "install it with the extra `ensemble`: pip install 'orbmm[ensemble]'"


@dataclass(frozen=True)
class Session:
    """A connection to the scheduler.

    gpus: of local workers, None if others choose; jobs: of a cluster, None for another kind, and how many are wanted
    name: a text that no other session has
    """

    client: Client
    gpus: tuple[str, ...] | None = None
    jobs: Any = None
    workers: int = 0
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def dashboard(self) -> str:
        """Return the address of Dask's own page; "" if there is none."""
        return self.client.dashboard_link or ""

    def end_runs(self) -> None:
        """Let all runs of this session save a checkpoint and end, on every worker. No run begins after that."""
        self.client.run(end_runs, self.name, on_error="ignore")

    def replace_jobs(self) -> None:
        """Submit a job for each that has ended, at the end of its time for example. Local workers come back anyway.

        The number of jobs is never lowered: Dask would end any of them, busy or not.
        """
        if self.jobs is not None:
            self.jobs.scale(self.workers)


def check_dask(kind: str) -> None:
    """Raise MissingDependency if the packages for this kind of scheduler are not installed."""
    try:
        import distributed  # noqa: F401

        if kind in _JOBS:
            import dask_jobqueue  # noqa: F401
    except ImportError as error:
        package = "dask-jobqueue" if "jobqueue" in str(error) else "distributed"
        raise MissingDependency(f"an ensemble needs the package {package}{quote_reason(error)}; {_INSTALL}") from error


@contextmanager
def open_session(settings: SchedulerSettings, devices: Sequence[str]) -> Iterator[Session]:
    """Connect to the scheduler, or start one with its workers, which end with the block.

    devices: of the model of each replica, which decide about GPUs; more workers than replicas are not started
    Raises MissingDependency without Dask, RunError for a scheduler that is not there.
    """
    check_dask(settings.kind)
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its words on lost workers are said here
    if settings.kind == "address":
        with _connect(settings) as client:
            yield Session(client)
        return
    gpus = choose_gpus(settings, devices) if settings.kind == "local" else None
    workers = min(choose_workers(settings, gpus), len(devices))
    if settings.kind == "local":
        with _start_processes(workers) as cluster, Client(cluster) as client:
            client.register_plugin(_leave_interrupts_to_coordinator())
            yield Session(client, gpus)
    else:
        with _submit_jobs(settings) as cluster, Client(cluster) as client:
            cluster.scale(workers)
            yield Session(client, None, cluster, workers)


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
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count())) or None


def choose_workers(settings: SchedulerSettings, gpus: tuple[str, ...] | None) -> int:
    """Return the number of workers. Raises SettingsError for more workers than GPUs."""
    if gpus and settings.workers is not None and settings.workers > len(gpus):
        raise SettingsError(
            f"workers is {settings.workers}, but there are {len(gpus)} gpus ({', '.join(gpus)}), one a worker; "
            "lower workers, or name a GPU twice in gpus"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or (len(gpus) if gpus else cores if settings.kind == "local" else 1)


def _connect(settings: SchedulerSettings) -> Client:
    from distributed import Client

    try:
        return Client(settings.address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise RunError(
            f"no Dask scheduler answers at {settings.address}{quote_reason(error)}; start one with `dask scheduler`, "
            "or correct address in [scheduler]"
        ) from error


def _start_processes(workers: int) -> Any:
    """Return a cluster of processes on this machine, one replica at a time in each."""
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):  # each loss is counted by the ensemble
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # a run limits its own
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


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


def _submit_jobs(settings: SchedulerSettings) -> Any:
    """Return a cluster whose workers are jobs, one replica at a time in each."""
    import shutil

    import dask_jobqueue

    if shutil.which(_SUBMIT[settings.kind]) is None:
        raise RunError(f"kind is {settings.kind}, but there is no command {_SUBMIT[settings.kind]} on this machine; "
                       "run this on a host that submits jobs, or choose another kind in [scheduler]")  # fmt: skip
    return getattr(dask_jobqueue, _JOBS[settings.kind])(**describe_job(settings))


def describe_job(settings: SchedulerSettings) -> dict[str, Any]:
    """Return the options of a job for dask-jobqueue."""
    return {
        "cores": settings.threads,
        "processes": 1,
        "memory": settings.memory,
        "walltime": settings.walltime,
        "queue": settings.queue,
        "project" if settings.kind == "lsf" else "account": settings.account,
        "job_extra_directives": list(settings.directives),
        "job_script_prologue": list(settings.prologue),
        "worker_extra_args": ["--nthreads", "1"],  # whatever its cores, a worker takes one replica at a time
        "job_name": "orbmm",
    }
