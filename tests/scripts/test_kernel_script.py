"""The script that measures kernels runs to its end where no GPU is, and leaves out what needs one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from orbmm.model.compiled import find_compiler


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
        ),
    ],
)
def test_every_step_is_timed_in_every_way(device: str, repository: Path, tmp_path: Path) -> None:
    report = tmp_path / "kernels.json"
    options = ["--device", device, "--waters", "10", "--edges", "500", "--calls", "1", "--to", report]
    subprocess.run(
        [sys.executable, repository / "scripts" / "benchmarks" / "kernels.py", *options],
        check=True,
        capture_output=True,
    )
    rows = json.loads(report.read_text())["rows"]
    assert len(rows) == 3 * 5
    ways = {"torch_s", "compiled_s"} | ({"triton_s"} if device == "cuda" else set())
    assert all({key for key in row if key.endswith("_s")} == ways for row in rows)
    assert all(row[way] > 0.0 for row in rows for way in ways)
