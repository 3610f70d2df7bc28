"""`orbmm doctor` prints a table and tells scripts by its exit code."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.doctor import installation as versions


def test_a_working_installation_exits_with_zero() -> None:
    result = CliRunner().invoke(build_app(), ["doctor"])
    assert result.exit_code == 0, result.output
    assert "PythonForce on Reference" in result.output
    assert "orbmm can run here" in result.output


def test_a_broken_installation_exits_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "REQUIRED", ("no-such-package",))
    result = CliRunner().invoke(build_app(), ["doctor"])
    assert result.exit_code == 2
    assert "1 broken" in result.output
    assert "pip install no-such-package" in result.output


def test_a_machine_without_a_gpu_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(build_app(), ["doctor", "--gpu"])
    assert result.exit_code == 2 and "torch finds no GPU here" in result.stderr
    result = CliRunner().invoke(build_app(), ["doctor", "--model", "orb-mini-direct-inf-xtb"])
    assert result.exit_code == 2 and "--model belongs to --gpu" in result.stderr


@pytest.mark.gpu
def test_a_real_gpu_computes_as_the_cpu_does() -> None:
    result = CliRunner().invoke(build_app(), ["doctor", "--gpu"])
    assert result.exit_code == 0, result.output
