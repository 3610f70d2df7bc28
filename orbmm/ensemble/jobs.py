"""Workers that are jobs of a cluster, by dask-jobqueue: what is submitted, and what became of it."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any

from orbmm.errors import RunError
from orbmm.settings import SchedulerSettings

_LOG = logging.getLogger(__name__)

CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}
_LIST = {"slurm": ("squeue", "--noheader", "--format=%i")}
"""Commands that list the jobs that wait or run. For PBS and LSF, a job that never reports is not asked for."""

_MEMORY = "4GB"
SECONDS_BETWEEN_LISTS = 30.0
_SECONDS_FOR_LIST = 20.0
_OUTPUTS = ("stdout:", "stderr:")


def open_queue(settings: SchedulerSettings, logs: Path) -> Any:
    """Return a cluster whose workers are jobs. logs: folder for what the jobs write

    Raises RunError if this machine submits no jobs.
    """
    check_submission(settings.kind)
    cluster = getattr(import_jobqueue(), CLUSTERS[settings.kind])
    import dask

    of_site = dask.config.get(f"jobqueue.{settings.kind}.scheduler-options", None) or {}
    scheduler = {"dashboard_address": ":0"} | of_site  # any free port: another ensemble may have Dask's usual one
    options = describe_job(settings) | {"log_directory": str(logs), "scheduler_options": scheduler}
    return cluster(job_cls=watch_submission(cluster.job_cls), **options)


def check_submission(kind: str) -> None:
    """Raise RunError if this machine submits no jobs to such a queue."""
    if shutil.which(_SUBMIT[kind]) is None:
        raise RunError(
            f"kind is {kind}, but there is no command {_SUBMIT[kind]} on this machine; "
            "run this on a host that submits jobs, or choose another kind in [scheduler]"
        )


def import_jobqueue() -> ModuleType:
    """Import dask_jobqueue without what it does at import: it would turn every Ctrl-C of the process into an exit."""
    handler = signal.getsignal(signal.SIGINT)
    import dask_jobqueue

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return dask_jobqueue


def describe_job(settings: SchedulerSettings) -> dict[str, Any]:
    """Return the options of a job for dask-jobqueue."""
    return {
        "cores": settings.threads,
        "processes": 1,
        "python": f"exec {sys.executable}",  # the worker gets the signals of the job, not a shell that ends at once
        "nanny": False,  # it would end the worker, and with that the job, before the run has saved a checkpoint
        "memory": settings.memory or _MEMORY,
        "walltime": settings.walltime,
        "queue": settings.queue,
        "project" if settings.kind == "lsf" else "account": settings.account,
        "job_extra_directives": list(settings.directives),
        "job_script_prologue": list(settings.prologue),
        "worker_extra_args": ["--nthreads", "1"],  # whatever its cores, a worker takes one replica at a time
        "job_name": "orbmm",
    }


def watch_submission(job: type) -> type:
    """Return the class of a job that has failed, with the reason in `refusal`, when the queue refuses it.

    Without that, Dask counts such a job as a worker that is about to start, for ever.
    """
    from distributed.core import Status

    class WatchedJob(job):
        """A job that knows whether it was submitted."""

        refusal = ""

        async def start(self) -> None:
            """Submit the job."""
            try:
                await super().start()
            except (RuntimeError, ValueError, OSError) as error:
                self.refusal = find_complaint(str(error))
                self.status = Status.failed

    return WatchedJob


def find_complaint(said: str) -> str:
    """Return the last line that the command of a queue wrote, from the error of dask-jobqueue about it."""
    lines = [line.strip() for line in said.splitlines()]
    spoken = [line for line in lines if line and line not in _OUTPUTS]
    return spoken[-1] if spoken else "it gave no reason"


class JobList:
    """The jobs of a queue, asked for at intervals. A job can end before its worker has reported, by scancel say."""

    def __init__(self, kind: str) -> None:
        self._command = _LIST.get(kind)
        self._next = time.monotonic() + SECONDS_BETWEEN_LISTS

    def find_gone(self, jobs: Collection[str]) -> set[str]:
        """Return those of some jobs that neither wait nor run; none if it is not the time to ask, or no answer comes.

        jobs: their numbers
        """
        if self._command is None or not jobs or time.monotonic() < self._next:
            return set()
        self._next = time.monotonic() + SECONDS_BETWEEN_LISTS
        try:
            answer = subprocess.run(
                self._command, capture_output=True, text=True, check=True, timeout=_SECONDS_FOR_LIST
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            _LOG.info("%s gives no answer (%s)", self._command[0], error)
            return set()
        return set(jobs) - set(answer.split())
