"""Scripts run as a user runs them, and scripts loaded to try one function of theirs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HEAD = {"command", "threads", "processor", "cores", "load", "memory_gb", "gpu", "system", "date", "versions"}


@dataclass(frozen=True)
class Outcome:
    """What a script wrote as JSON, where, and what it printed."""

    report: dict[str, Any]
    path: Path
    printed: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the report."""
        return self.report["rows"]


@pytest.fixture
def find_missing() -> Callable[[dict[str, Any]], set[str]]:
    """What the head of a report leaves out of how, where and with what its numbers were measured."""
    return lambda report: {name for name in HEAD if name not in report}


@pytest.fixture
def run_script(repository: Path, tmp_path: Path, find_missing: Callable) -> Callable[..., Outcome]:
    """Called with a script, its options, and where its JSON lies: run it with one thread; its head must be complete."""

    def run(script: str, *options: object, report: str = "report.json") -> Outcome:
        path = tmp_path / report
        target = path.parent if Path(script).name.startswith("paper_") else path  # those draw beside their report
        command = [sys.executable, repository / script, *map(str, options), "--to", target]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        written = json.loads(path.read_text(encoding="utf-8"))
        assert find_missing(written) == set()
        assert Path(script).name in written.get("drawn_by", written["command"])
        return Outcome(written, path, done.stdout)

    return run


@pytest.fixture
def load_script(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Called with a script: its module, with the files beside it in reach as when it is run."""

    def load(script: str) -> ModuleType:
        path = repository / script
        monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module

    return load
