"""One line of settings chooses where the replicas run; what is not there is one sentence."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.ensemble import jobs, run
from orbmm.ensemble import scheduler as module
from orbmm.ensemble.jobs import JobList, open_queue
from orbmm.ensemble.run import run_ensemble
from orbmm.ensemble.scheduler import (
    Session,
    check_dask,
    choose_gpus,
    choose_workers,
    open_session,
)
from orbmm.errors import MissingDependency, RunError, SettingsError
from orbmm.local_workers import configure_dask, start_local_cluster
from orbmm.settings import SchedulerSettings

QUEUE = {"threads": 4, "memory": "8GB", "walltime": "02:00", "queue": "gpu", "account": "lab"}


def _open(settings: SchedulerSettings) -> None:
    with open_session(settings, ["cpu"], Path("jobs")):
        pytest.fail("there is no scheduler")


def _put_queue(folder: Path, monkeypatch: pytest.MonkeyPatch, **commands: str) -> None:
    """Put the commands of a queue into a folder, first in PATH."""
    for name, text in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


EXTRAS = {"directives": ["--gres=gpu:1"], "prologue": ["module load cuda"]}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    check_dask("local")
    with pytest.raises(MissingDependency, match=r"needs the package dask-jobqueue.*pip install 'orbmm\[ensemble\]'"):
        check_dask("slurm")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependency, match=r"needs the package distributed.*pip install 'orbmm\[ensemble\]'"):
        check_dask("local")


@pytest.mark.filterwarnings("default")
def test_an_address_without_a_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    settings = SchedulerSettings(kind="address", address="tcp://127.0.0.1:9")
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9.*dask scheduler"):
        _open(settings)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://nowhere\.invalid:1 "):
        _open(SchedulerSettings(kind="address", address="tcp://nowhere.invalid:1"))


@pytest.mark.filterwarnings("default")
def test_a_plan_says_whether_its_scheduler_answers(
    write_ensemble: Callable[..., Path],
    waters: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scheduler that answers is not mentioned."""
    from orbmm.cli import ensemble

    monkeypatch.setattr(ensemble, "_estimate", lambda *rest: 1.0)
    waters(tmp_path / "waters.pdb")

    def plan(lines: str) -> str:
        done = CliRunner().invoke(build_app(), ["ensemble", str(write_ensemble(lines)), "--dry-run"])
        assert done.exit_code == 0, done.output
        return done.stdout

    lines = '[scheduler]\nkind = "address"\naddress = "{}"\n'
    said = plan(lines.format("tcp://127.0.0.1:9"))
    assert "not ready to run: no Dask scheduler answers at tcp://127.0.0.1:9" in said and "0:00:01" in said
    with configure_dask(), start_local_cluster(0) as cluster:
        assert "not ready" not in plan(lines.format(cluster.scheduler_address))
    monkeypatch.setenv("PATH", "/nowhere")
    said = plan('[scheduler]\nkind = "slurm"\n')
    assert "not ready to run: kind is slurm, but there is no command sbatch on this machine" in said
    assert "not ready" not in plan("")


@pytest.mark.parametrize(("kind", "command"), [("slurm", "sbatch"), ("pbs", "qsub"), ("lsf", "bsub")])
def test_a_machine_that_submits_no_jobs_is_an_error(kind: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RunError, match=f"kind is {kind}, but there is no command {command} on this machine"):
        _open(SchedulerSettings(kind=kind))


# Each by the manual of its queue: 8 GB are 7630 of PBS's MB (1024^2 bytes, rounded up), and 8,000,000 of LSF's KB.
SUBMITTED = {
    "slurm": """#SBATCH -J orbmm
#SBATCH -e {logs}/orbmm-%J.err
#SBATCH -o {logs}/orbmm-%J.out
#SBATCH -p gpu
#SBATCH -A lab
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH -t 02:00
#SBATCH --gres=gpu:1""",
    "pbs": """#PBS -N orbmm
#PBS -e {logs}/
#PBS -o {logs}/
#PBS -q gpu
#PBS -A lab
#PBS -l select=1:ncpus=4:mem=7630MB
#PBS -l walltime=02:00
#PBS --gres=gpu:1""",
    "lsf": """#BSUB -J orbmm
#BSUB -e {logs}/LSFCluster-0-%J.err
#BSUB -o {logs}/LSFCluster-0-%J.out
#BSUB -q gpu
#BSUB -P "lab"
#BSUB -n 4
#BSUB -R "span[hosts=1]"
#BSUB -M 8000000
#BSUB -W 02:00
#BSUB --gres=gpu:1""",
}
QUEUES = {
    "slurm": {
        "sbatch": 'cp "${@: -1}" "$0.tmp"; mv "$0.tmp" "$0.job"; echo Submitted batch job 7',
        "scancel": "exit 0",
    },
    "pbs": {"qsub": 'cp "${@: -1}" "$0.tmp"; mv "$0.tmp" "$0.job"; echo 7.server', "qdel": "exit 0"},
    "lsf": {
        "bsub": 'cat >"$0.tmp"; mv "$0.tmp" "$0.job"; echo "Job <7> is submitted to queue <gpu>."',
        "bkill": "exit 0",
    },
}  # a script is an argument of sbatch and qsub; bsub reads it


@pytest.mark.parametrize("kind", SUBMITTED)
@pytest.mark.filterwarnings("default")
def test_a_queue_gets_the_script_that_its_manual_asks_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is a command that keeps what it gets; no real PBS or LSF was tried."""
    _put_queue(tmp_path, monkeypatch, **QUEUES[kind])
    logs = tmp_path / "jobs"
    with configure_dask(), open_queue(SchedulerSettings(kind=kind, **QUEUE, **EXTRAS), logs) as cluster:
        cluster.scale(1)
        kept = tmp_path / f"{next(iter(QUEUES[kind]))}.job"
        deadline = time.monotonic() + 60.0
        while not kept.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        lines, address = kept.read_text().splitlines(), cluster.scheduler_address
    directives = [line for line in lines if line.startswith("#") and not line.startswith("#!")]
    assert sorted(directives) == sorted(SUBMITTED[kind].format(logs=logs).splitlines())
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands[0] == "module load cuda" and len(commands) == 2
    worker = commands[1]
    assert worker.startswith(f"exec {sys.executable} -m distributed.cli.dask_worker {address} ")
    assert "--no-nanny" in worker
    assert worker.index("--nthreads 4") < worker.index("--nthreads 1")  # the last one counts: one replica at a time


def test_gpus_are_those_of_the_settings_or_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert choose_gpus(SchedulerSettings(gpus=["7"]), ["cpu", "auto"]) == ("7",)
    assert choose_gpus(SchedulerSettings(), ["cpu", "auto"]) == ("2", "3")
    assert choose_gpus(SchedulerSettings(), ["cpu"]) is None
    assert choose_gpus(SchedulerSettings(gpus=[]), ["cpu", "auto"]) == ()


def test_gpus_are_counted_only_where_a_driver_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(module, "_AMD_DRIVER", str(tmp_path / "kfd"))
    monkeypatch.setattr(module.ctypes, "CDLL", refuse)
    assert choose_gpus(SchedulerSettings(), ["auto"]) is None
    (tmp_path / "kfd").touch()
    assert choose_gpus(SchedulerSettings(), ["auto"]) == ("0", "1")
    (tmp_path / "kfd").unlink()
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: None)
    assert choose_gpus(SchedulerSettings(), ["auto"]) == ("0", "1")


def test_a_gpu_that_a_model_names_by_its_number_is_left_to_it() -> None:
    assert choose_gpus(SchedulerSettings(), ["cuda:1"]) is None
    with pytest.raises(SettingsError, match='device is cuda:1, but gpus gives each worker one GPU.*device = "cuda"'):
        choose_gpus(SchedulerSettings(gpus=["0"]), ["cuda", "cuda:1"])


def test_there_is_a_worker_for_each_gpu_and_never_more() -> None:
    assert choose_workers(SchedulerSettings(), ("0", "1", "2")) == 3
    assert choose_workers(SchedulerSettings(workers=2), ("0", "1", "2")) == 2
    assert choose_workers(SchedulerSettings(), None) == len(os.sched_getaffinity(0))
    with pytest.raises(SettingsError, match="workers is 3, but there are 2 gpus"):
        choose_workers(SchedulerSettings(workers=3), ("0", "1"))


class Worker:
    """A worker of a cluster. status: as Dask's has it, with a name"""

    def __init__(self, status: str) -> None:
        self.status = self
        self.name = status


class Cluster:
    """A cluster that counts what is asked of it, and the client of its scheduler."""

    def __init__(self, *statuses: str) -> None:
        self.workers = dict(enumerate(map(Worker, statuses)))
        self.wanted: list[int] = []
        self.known: dict[str, dict[str, str]] = {}

    def scale(self, number: int) -> None:
        self.wanted.append(number)

    def scheduler_info(self) -> dict[str, dict[str, str]]:
        return {"workers": self.known}


def test_a_worker_that_ended_while_it_started_is_replaced() -> None:
    cluster = Cluster("running", "failed")
    Session(cluster, None, cluster, 2).replace_workers()
    assert list(cluster.workers) == [0] and cluster.wanted == [2]  # Dask starts those that are not there


def test_workers_that_never_start_are_an_error_in_the_end() -> None:
    cluster = Cluster()
    session = Session(cluster, None, cluster, 2)
    with pytest.raises(RunError, match='workers ended while they started.*__name__ == "__main__"'):
        for _ in range(module.MOST_FAILED_STARTS):
            cluster.workers = {0: Worker("failed"), 1: Worker("failed")}
            session.replace_workers()
    assert len(cluster.wanted) == module.MOST_FAILED_STARTS // 2
    cluster.known["tcp://x"] = {"name": "a worker that works"}
    session.replace_workers()


SBATCH = """#!/bin/bash
# A queue that keeps the script, which is its last argument, and starts each job at once.
script=$(mktemp "$0.XXXXXX")
cp "${@: -1}" "$script"
setsid bash "$script" </dev/null >>"$0.log" 2>&1 &
echo $! >>"$0.jobs"
echo "Submitted batch job $!"
"""
SCANCEL = '#!/bin/bash\nfor job in "$@"; do kill -TERM -- "-$job"; done\n'


@pytest.mark.filterwarnings("default")
def test_a_replica_runs_in_a_job_that_is_submitted(
    write_ensemble: Callable[..., Path],
    waters: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    waters(tmp_path / "waters.pdb")
    states = run_ensemble(write_ensemble('[scheduler]\nkind = "slurm"\nmemory = "1GB"\n'), max_hours=0.05)
    assert [one.state for one in states] == ["complete"]
    assert len((tmp_path / "sbatch.jobs").read_text().split()) == 1


REFUSAL = "sbatch: error: invalid partition specified: gpus"


@pytest.mark.filterwarnings("default")
def test_a_queue_that_refuses_the_jobs_ends_the_ensemble_in_one_sentence(
    write_ensemble: Callable[..., Path],
    waters: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _put_queue(tmp_path, monkeypatch, sbatch=f"echo '{REFUSAL}' >&2; exit 1", scancel="exit 0")
    monkeypatch.chdir(tmp_path)
    waters(tmp_path / "waters.pdb")
    path = write_ensemble('[scheduler]\nkind = "slurm"\n')
    done = CliRunner().invoke(build_app(), ["ensemble", str(path)])
    assert done.exit_code == 2
    assert f"error: the queue refuses the jobs ({REFUSAL})" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.filterwarnings("default")
def test_jobs_that_end_at_once_end_the_ensemble_in_one_sentence(
    write_ensemble: Callable[..., Path],
    waters: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LISTS", 0.0)
    monkeypatch.setattr(run, "SECONDS_BETWEEN_UPDATES", 0.0)
    monkeypatch.setattr(module, "MOST_FAILED_STARTS", 2)
    accept = "echo Submitted batch job $$"  # each number is another one
    _put_queue(tmp_path, monkeypatch, sbatch=accept, scancel="exit 0", squeue="exit 0")
    monkeypatch.chdir(tmp_path)
    waters(tmp_path / "waters.pdb")
    path = write_ensemble('[scheduler]\nkind = "slurm"\n')
    done = CliRunner().invoke(build_app(), ["ensemble", str(path), "--quiet"])
    assert done.exit_code == 2
    assert "error: 3 workers ended while they started; their messages are in the folder `jobs`" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_job_that_ends_before_its_worker_reports_is_replaced(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LISTS", 0.0)
    _put_queue(tmp_path, monkeypatch, squeue="echo 7")
    cluster = Cluster("running", "running")
    cluster.workers[0].job_id, cluster.workers[1].job_id = "7", "8"
    Session(cluster, None, cluster, 2, JobList(kind)).replace_workers()
    assert list(cluster.workers) == ([0] if kind == "slurm" else [0, 1])  # no other queue is asked
    cluster.known["tcp://x"] = {"name": "1"}
    cluster.workers[1] = Worker("running")
    cluster.workers[1].job_id = "8"
    Session(cluster, None, cluster, 2, JobList(kind)).replace_workers()
    assert list(cluster.workers) == [0, 1]  # it has reported


def test_a_queue_that_gives_no_answer_has_lost_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LISTS", 0.0)
    _put_queue(tmp_path, monkeypatch, squeue="exit 1")
    assert JobList("slurm").find_gone({"7"}) == set()
    _put_queue(tmp_path, monkeypatch, squeue="exit 0")
    assert JobList("slurm").find_gone({"7"}) == {"7"}
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LISTS", 60.0)
    assert JobList("slurm").find_gone({"7"}) == set()


def test_a_refused_job_is_submitted_again_after_a_while_if_others_were_accepted() -> None:
    cluster = Cluster("running", "failed")
    cluster.workers[1].refusal = "too many jobs"
    session = Session(cluster, None, cluster, 2)
    session.replace_workers()
    assert list(cluster.workers) == [0] and cluster.wanted == []
    session._next_start = 0.0
    session.replace_workers()
    assert cluster.wanted == [2]


@pytest.mark.parametrize(
    ("statement", "kept"),
    [("from orbmm.ensemble.jobs import import_jobqueue as load; load()", True), ("import dask_jobqueue", False)],
)
def test_ctrl_c_means_the_same_after_the_import_of_the_queues(statement: str, kept: bool) -> None:
    """The package alone changes it, so the first case says something."""
    code = f"import signal; {statement}; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(kept)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
