"""A file of a run that this user may not read gives one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from orbmm.analysis.reading.run_folder import read_run_folder
from orbmm.errors import AnalysisError
from orbmm.run_files.confidence import describe_records, make_record, read_confidence


def _forbid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deny to open a file; its permissions would mean nothing to root."""
    opened = Path.open

    def refuse(tried: Path, mode: str = "r", **options: Any) -> IO[Any]:
        if tried == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(tried, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)


@pytest.mark.parametrize("name", ["trajectory.xtc", "energies.csv", "topology.pdb", "settings.toml", "run.json"])
def test_a_file_of_the_run(name: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_run_folder(run_folder)
    _forbid(run_folder / name, monkeypatch)
    with pytest.raises(AnalysisError, match=f"{name}: cannot be read"):
        read_run_folder(run_folder)


def test_its_confidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "confidence.dat"
    describe_records(path, 2, np.linspace(0.0, 1.0, 3), 10.0)
    path.write_bytes(make_record(0, 0.0, np.zeros(2, np.uint8), np.zeros(2)))
    file = read_confidence(tmp_path)
    assert file is not None and len(list(file.read_chunks())) == 1
    _forbid(path, monkeypatch)
    with pytest.raises(AnalysisError, match=r"confidence.dat: cannot be read \(Permission denied\)"):
        list(file.read_chunks())
