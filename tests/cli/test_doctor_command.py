"""`orbmm doctor` prints a table and tells scripts by its exit code."""

from __future__ import annotations

import pytest
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


@pytest.mark.gpu
def test_a_real_gpu_computes_as_the_cpu_does() -> None:
    result = CliRunner().invoke(build_app(), ["doctor", "--gpu"])
    assert result.exit_code == 0, result.output
