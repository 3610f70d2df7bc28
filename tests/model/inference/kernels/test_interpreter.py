"""The Triton kernels on a CPU, in Triton's interpreter, which must be asked for before triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from orbmm.errors import MissingDependency, ModelError
from orbmm.model.inference.kernels import choose
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.kernels.edge_update.tiles import TILES
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.precision import find_precision

CPU = torch.device("cpu")
FLOAT16 = find_precision("float16")


@pytest.mark.slow
def test_the_kernels_give_what_their_twins_give(repository: Path) -> None:
    pytest.importorskip("triton")
    files = [str(Path(__file__).with_name(name)) for name in ("test_kernels.py", "test_edge_update.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cpu", *files]
    # What CI expects of the whole suite, and where its report goes, is not meant for this part of it.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORBMM_EXPECT", "PYTEST_"))
    }
    environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(command, check=False, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout and " passed" in done.stdout


def test_kernels_on_a_cpu_are_those_of_torch_and_triton_stays_away() -> None:
    assert isinstance(choose_kernels("auto", CPU, FLOAT16), PlainKernels)
    code = "import sys, orbmm.model.load; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tritn", "unknown kernels 'tritn': did you mean 'triton'"),
        ("triton", "kernels 'triton' need a CUDA device, got cpu"),
        ("fused", "kernels 'fused' need a CUDA device, got cpu"),
    ],
)
def test_kernels_that_cannot_run_here_are_refused(name: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ModelError, match=sentence):
        choose_kernels(name, CPU, FLOAT16)


@pytest.mark.parametrize("precision", ["float64", "float32-highest"])
def test_fused_kernels_are_refused_in_a_precision_that_they_do_not_have(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    gpu = torch.device("cuda")
    with pytest.raises(ModelError, match=f"compute in float16, bfloat16, float32-high, got {precision}: choose one"):
        choose_kernels("fused", gpu, find_precision(precision))
    monkeypatch.setattr(choose, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match='kernels = "fused" needs the package triton: install it, or choose'):
        choose_kernels("fused", gpu, FLOAT16)


def test_fused_kernels_take_the_tiles_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    card = SimpleNamespace(major=8, minor=9, shared_memory_per_block_optin=101_376)  # 99 KiB
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    kernels = choose_kernels("fused", torch.device("cuda"), FLOAT16)
    assert kernels.edge_update._tiles is TILES[120]
    card.major = 7
    with pytest.raises(ModelError, match="need a GPU of compute capability 8"):
        choose_kernels("fused", torch.device("cuda"), FLOAT16)
