"""What all tests share: structure files beside the repository, and a ledger of what was really exercised.

The ledger counts passed tests that were parametrised with the plain name of a force kind or of a neighbour search, and
prints the counts, summed over the workers where there are several. A run without one of the names that
ORBMM_EXPECT_FORCE_KINDS and ORBMM_EXPECT_SEARCHES list (separated by commas) fails: a test that quietly skips
everywhere proves nothing. No test needs to do anything to take part.

`pytest -n auto` starts a worker for each core, four at most; each computes with one thread, or they would wait for each
other.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before any room's conftest.py imports torch, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENMM_CPU_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]
MOST_WORKERS = 4  # of up to 2 GB each
LEDGER = pytest.StashKey[Counter[str]]()
EXERCISES = ("TorchForce", "PythonTorchForce", "PythonForce", "brute_force", "kd_tree", "cell_list", "ball_cover")


@pytest.fixture(scope="session")
def shared_structures() -> Path:
    """The folder of structure files: $ORBMM_SHARED/structures, else shared/structures beside the clone."""
    shared = Path(os.environ.get("ORBMM_SHARED", REPOSITORY.parent / "shared"))
    if not (shared / "structures").is_dir():
        pytest.skip(f"no structure files in {shared}")
    return shared / "structures"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout that these tests belong to."""
    return REPOSITORY


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Undo what a command changes in the logging of its process, where several tests share one process.

    Also before a test: fixtures of a whole module call commands before this one begins.
    """
    _reset_logging()
    yield
    _reset_logging()


def _reset_logging() -> None:
    package = logging.getLogger("orbmm")
    package.propagate, package.handlers = True, []
    package.setLevel(logging.NOTSET)  # forgets which levels were cached as switched off
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def require_force_kind() -> Callable[[str], str]:
    """Called with a force kind: its name, if it can run here; CI names those that must, in ORBMM_EXPECT_FORCE_KINDS."""
    from orbmm.forces.kinds import list_force_kinds

    def require(name: str) -> str:
        found = {known.name: known for known in list_force_kinds()}[name]
        if not found.available:
            expected = os.environ.get("ORBMM_EXPECT_FORCE_KINDS", "").split(",")
            (pytest.fail if name in expected else pytest.skip)(f"{found.name}: {found.reason}")
        return found.name

    return require


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers that `-n auto` starts."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, put modules with slow tests first, or one worker would end alone with them."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


class Ledger:
    """Counts what passed tests exercised, from their reports: a worker's reports come to the main process too."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.counts.update(report.exercised)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # pytest-xdist would put modules with few tests last, slow or not
    config.stash[LEDGER] = Counter()
    config.pluginmanager.register(Ledger(config.stash[LEDGER]), "ledger")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    report.exercised = sorted({value for value in values if isinstance(value, str)}.intersection(EXERCISES))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):  # a worker sees a part of the tests
        return
    if list_unexercised(session.config.stash[LEDGER]) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ledger = config.stash[LEDGER]
    counts = ", ".join(f"{name} {ledger[name]}" for name in EXERCISES)
    terminalreporter.write_line(f"exercised by passed tests: {counts}")
    for name in list_unexercised(ledger):
        terminalreporter.write_line(f"ERROR: no passed test exercised {name}", red=True)


def list_unexercised(ledger: Counter[str]) -> list[str]:
    """The names that the environment expects and no passed test was parametrised with."""
    expected = [os.environ.get(name, "") for name in ("ORBMM_EXPECT_FORCE_KINDS", "ORBMM_EXPECT_SEARCHES")]
    return [name for name in ",".join(expected).split(",") if name and not ledger[name]]
