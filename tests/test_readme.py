"""README holds two commands for a fresh machine, and Python that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def read_blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_readme_has_exactly_two_commands(repository: Path) -> None:
    commands = read_blocks(repository, "bash")
    assert len(commands) == 2
    assert "orbmm run" in commands[0]
    assert "pytest" in commands[1]
    for command in commands:
        assert "[torchforce" in command
        assert len(command.strip().replace("\\\n", "").splitlines()) == 1


def test_the_python_in_readme_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    blocks = read_blocks(repository, "python")
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102
