"""An ensemble on two local workers, with a run and a worker killed, has the same runs as `orbmm run` by hand."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.ensemble import analyze, run
from orbmm.ensemble.run import Update, run_ensemble
from orbmm.ensemble.state import RUNNING

from .conftest import STEPS

pytestmark = pytest.mark.filterwarnings("default")  # what torch, Warp and Dask warn of is not ours
SEEDS = (1, 2)
FILES = ("trajectory.xtc", "confidence.dat", "topology.pdb")


def call(*arguments: str | Path) -> Result:
    """The command line, in this process."""
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


class Killer:
    """Kills the first run of seed 1 that has a checkpoint of production, and once the worker of seed 2."""

    def __init__(self) -> None:
        self.killed: list[str] = []

    def __call__(self, update: Update) -> None:
        for one in update.states:
            if one.state != RUNNING or one.saved[0] < 1 or one.saved[1] >= STEPS or one.member.name in self.killed:
                continue
            lock = update.folder.replica(one.member.name).run.path / "run.lock"
            process = psutil.Process(json.loads(lock.read_text())["pid"])
            os.kill(process.pid if one.member.seed == 1 else process.ppid(), signal.SIGKILL)
            self.killed.append(one.member.name)


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, waters: Callable[[Path], None], killer: Killer) -> Path:
    """A folder with a complete ensemble in out/, and with the same runs by hand in hand-SEED/."""
    from .conftest import SYSTEM

    path = tmp_path_factory.mktemp("ensemble")
    waters(path / "waters.pdb")
    (path / "system.toml").write_text(SYSTEM)
    settings = '[ensemble]\nsystem = "system.toml"\noutput = "out"\nreplicas = 2\n[scheduler]\nworkers = 2\n'
    (path / "ensemble.toml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SECONDS_BETWEEN_LOOKS", 0.05)
        patch.setattr(run, "SECONDS_BETWEEN_UPDATES", 0.05)
        states = run_ensemble(path / "ensemble.toml", killer, max_hours=0.1)
    assert [(one.state, one.time_ps) for one in states] == [("complete", STEPS * 0.0005)] * 2
    for seed in SEEDS:
        by_hand = path / f"hand-{seed}"
        done = call("run", path / "system.toml", "--seed", seed, "--output", by_hand, "--no-analyze", "--quiet")
        assert done.exit_code == 0, done.output
    return path


def read_rows(path: Path) -> list[str]:
    """The rows of energies.csv without their speed."""
    return [line.rpartition(",")[0] for line in (path / "energies.csv").read_text().splitlines()]


def is_same(one: Path, other: Path) -> bool:
    """Whether two run folders hold the same frames, confidence and rows."""
    same = [(one / name).read_bytes() == (other / name).read_bytes() for name in FILES]
    return all(same) and read_rows(one) == read_rows(other)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replica_is_the_run_by_hand_to_the_last_byte(seed: int, folder: Path) -> None:
    assert is_same(folder / f"out/replicas/seed-{seed}/run", folder / f"hand-{seed}")


def test_another_seed_is_another_run(folder: Path) -> None:
    assert not is_same(folder / "out/replicas/seed-1/run", folder / "hand-2")


def test_a_run_and_a_worker_were_killed_on_the_way(folder: Path, killer: Killer) -> None:
    assert sorted(killer.killed) == ["seed-1", "seed-2"]
    logs = [(folder / f"out/replicas/seed-{seed}/run.log").read_text() for seed in SEEDS]
    assert ["continuing from step" in log for log in logs] == [True, True]


def test_the_command_again_finds_everything_complete(folder: Path) -> None:
    done = call("ensemble", folder / "ensemble.toml")
    assert (done.exit_code, done.stdout.strip()) == (0, "2 complete")


def test_the_status_is_read_from_the_folder(folder: Path) -> None:
    done = call("ensemble", "status", folder / "out")
    assert done.exit_code == 0
    assert (
        "seed-1" in done.stdout
        and f"{STEPS * 0.0005:.3f}/{STEPS * 0.0005:g}" in done.stdout
        and "2 complete" in done.stdout
    )


def test_the_analysis_is_the_mean_of_the_replicas(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "write_figures", lambda results, folder, formats: [])  # most of the time
    out = shutil.copytree(folder / "out", tmp_path / "out")
    done = call("analyze", out)
    assert done.exit_code in (0, 3), done.output
    summaries = [json.loads((out / f"replicas/seed-{seed}/run/analysis/results.json").read_text()) for seed in SEEDS]
    assert done.exit_code == (0 if all(one["stable"] for one in summaries) else 3)
    means = [one["results"]["temperature"]["numbers"]["mean"]["value"] for one in summaries]
    rows = list(csv.DictReader((out / "analysis/ensemble.csv").read_text().splitlines()))
    (row,) = [one for one in rows if (one["observable"], one["quantity"]) == ("temperature", "mean")]
    assert float(row["mean"]) == pytest.approx(sum(means) / 2) and row["replicas"] == "2"
    assert float(row["standard_error"]) == pytest.approx(abs(means[0] - means[1]) / 2)
    page = (out / "report.html").read_text()
    assert all(f"href='replicas/seed-{seed}/run/report.html'" in page for seed in SEEDS)
    assert all((out / f"replicas/seed-{seed}/run/report.html").is_file() for seed in SEEDS)
    again: list[Path] = []
    monkeypatch.setattr(analyze, "_analyze_replica", lambda replica, choices: again.append(replica.run.path))
    assert call("analyze", out).exit_code == done.exit_code and again == []
    call("analyze", out, "--discard-ps", "0.005")
    assert len(again) == 2, "other options are another analysis"
    call("analyze", out)
    assert len(again) == 4, "and its numbers are not taken for those without options"
    results = out / "replicas/seed-1/run/analysis/results.json"
    results.write_text(results.read_text() + "\n", encoding="utf-8")  # as `orbmm analyze` of the run alone might
    call("analyze", out)
    assert len(again) == 5


def test_an_ensemble_without_a_complete_replica_is_not_analysed(folder: Path, tmp_path: Path) -> None:
    out = shutil.copytree(folder / "out", tmp_path / "out")
    for seed in SEEDS:
        shutil.rmtree(out / f"replicas/seed-{seed}/run")
    done = call("analyze", out)
    assert done.exit_code == 2 and "has no complete replica (2 waiting)" in done.stderr
    done = call("analyze", out, "--follow")
    assert done.exit_code == 2 and "takes no --follow" in done.stderr


def test_a_dry_run_shows_replicas_and_their_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orbmm.benchmark import estimate

    measured = [estimate.Measured(100, 0.05, 100.0), estimate.Measured(200, 0.1, 200.0)]
    monkeypatch.setattr(estimate, "calibrate", lambda *rest: measured)
    path = folder / "dry.toml"
    text = (folder / "ensemble.toml").read_text().replace('"out"', '"dry"').replace("replicas = 2", "replicas = 4")
    path.write_text(text)
    done = call("ensemble", path, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "4 replicas in" in done.stdout and f"seed-4: {STEPS * 0.0005:g} ps" in done.stdout
    edges = int(done.stdout.split(" atoms, ")[1].split()[0])
    seconds = 4 * STEPS * edges * 0.0005
    whole, half = (f"{int(one // 60)}:{int(one % 60):02d}" for one in (round(seconds), round(seconds / 2)))
    assert f"one after the other: 0:0{whole}" in done.stdout
    assert f"with 2 workers, if none slows the others down: 0:0{half}" in done.stdout
    assert not (folder / "dry").exists()
    path.write_text((folder / "ensemble.toml").read_text().replace("replicas = 2", "replicas = 3"))
    done = call("ensemble", path, "--dry-run")
    assert f"seed-2: {STEPS * 0.0005:g} ps, complete\n" in done.stdout
    assert f"one after the other: 0:00:{round(seconds / 4):02d}; with 1 workers" in done.stdout
    assert call("ensemble", folder / "ensemble.toml", "--dry-run").stdout.endswith("nothing is left to run\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nowhere.toml",), "nowhere.toml: no such settings file"),
        (("status",), "status needs the folder of an ensemble"),
        (("status", "."), r"is not the folder of an ensemble: it has no plan.json"),
        (("ensemble.toml", "more"), "more is one argument too many"),
        (("status", ".", "--quiet"), "--quiet does nothing for orbmm ensemble status; remove it"),
        (("status", ".", "--max-hours", "1"), "--max-hours does nothing for orbmm ensemble status"),
    ],
)
def test_a_bad_command_is_one_line(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("ensemble", *arguments)
    assert done.exit_code == 2 and expected in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--from", "benchmark.json"), "--from does nothing for orbmm ensemble without --dry-run"),
        (("--dry-run", "--max-hours", "1"), "--max-hours does nothing for --dry-run"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    options: tuple[str, ...], expected: str, write_ensemble: Callable[..., Path]
) -> None:
    done = call("ensemble", write_ensemble(), *options)
    assert done.exit_code == 2 and expected in done.stderr and done.stderr.count("\n") == 1
