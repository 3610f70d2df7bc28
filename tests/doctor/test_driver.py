"""The doctor names a GPU that admits one context only, and a compiler that is newer than the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbmm.doctor.driver import check_driver, judge_driver
from orbmm.doctor.installation import State

ANSWER = """
==============NVSMI LOG==============
Driver Version                            : 580.82.07
CUDA Version                              : 13.0
Attached GPUs                             : 2
GPU 00000000:0F:00.0
    Compute Mode                          : {first}
GPU 00000000:10:00.0
    Compute Mode                          : Default
"""


def test_a_gpu_in_exclusive_mode_is_named() -> None:
    (finding,) = judge_driver(ANSWER.format(first="Exclusive_Process"), {})
    assert (finding.subject, finding.state) == ("compute mode", State.LIMITED)
    assert finding.seen.startswith("cuda:0 admits one context at a time")
    assert judge_driver(ANSWER.format(first="Default"), {}) == []


@pytest.mark.parametrize(("version", "names"), [("13.5.26", 1), ("13.0.88", 0), ("12.8.93", 0), ("14.0.1", 1)], ids=str)
def test_a_compiler_newer_than_the_driver_is_named(version: str, names: int) -> None:
    findings = judge_driver(ANSWER.format(first="Default"), {"nvidia-cuda-nvrtc": version})
    assert len(findings) == names
    assert all("nvidia-cuda-nvrtc==13.0.*" in finding.advice for finding in findings)


def test_a_driver_that_gives_no_answer_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_driver() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    (finding,) = check_driver()
    assert finding.state is State.LIMITED and "gives no answer" in finding.seen
    program.write_text(f"#!/bin/sh\ncat <<END\n{ANSWER.format(first='Exclusive_Process')}END\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert [finding.subject for finding in check_driver()] == ["compute mode"]
