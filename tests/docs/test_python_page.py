"""The Python on the page "From Python" runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_python_on_the_page_runs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    text = (repository / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), {})  # noqa: S102
