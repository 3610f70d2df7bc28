"""The JSON file of every script here: how and where its numbers were measured, then the numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from orbmm.benchmark.machine import describe_machine


def describe_run(threads: int) -> dict[str, Any]:
    """The command, the processor threads that it works on, and the machine as it is now: call it before measuring."""
    command = " ".join(["python", f"scripts/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, "threads": threads, **describe_machine()}


def write_results(path: Path | None, about: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Write what describe_run told, then the numbers; nothing where no file is asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, **numbers}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
