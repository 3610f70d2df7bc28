"""What a compiled network needs is asked for before it is compiled."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from orbmm.errors import ModelError
from orbmm.model import compiled
from orbmm.model.precision import find_precision


@pytest.mark.parametrize(("free", "refused"), [(1_000_000, True), (10**9, False)])
def test_a_full_temporary_folder_is_named(free: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "find_compiler", lambda: "g++")
    monkeypatch.setattr(compiled, "has_python_headers", lambda: True)
    monkeypatch.setattr("orbmm.model.compiled.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    if not refused:
        compiled.check_compilable(torch.device("cpu"), find_precision("float32-high"))
        return
    with pytest.raises(ModelError, match="needs 50 MB in the temporary folder .* TMPDIR"):
        compiled.check_compilable(torch.device("cpu"), find_precision("float32-high"))
