"""The predicted time of a step follows its formula, and the trace behind it counts what the shapes say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def roofline(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(repository / "scripts" / "benchmarks"), *sys.path])
    import roofline

    return roofline


def test_the_host_and_the_gpu_work_at_the_same_time_except_at_a_wait(roofline: ModuleType) -> None:
    card = roofline.Card(copy=1e12 / roofline.POINTWISE)
    long, short = roofline.Event("mul", moved=10**8), roofline.Event("add", moved=10**5)  # 100 and 0.1 microseconds
    wait = roofline.Event("item", waits=True)

    def predict(*events: object) -> float:
        return 1e6 * (roofline.predict_seconds(events, card) - roofline.OPENMM_S)

    assert predict(long) == pytest.approx(6 + 100)
    assert predict(*[short] * 10) == pytest.approx(10 * 6 + 0.1)  # the host is slower
    assert predict(long, *[short] * 10) == pytest.approx(6 + 100 + 1)  # the GPU is
    assert predict(long, wait, short) == pytest.approx(6 + 100 + 15 + 6 + 0.1)
    recorded = [roofline.Event("add", moved=10**5, recorded=True)] * 10
    assert predict(roofline.Event("replay"), *recorded) == pytest.approx(6 + 10 * 2)


def test_a_product_takes_what_its_operations_or_its_bytes_take(roofline: ModuleType) -> None:
    card = roofline.Card(copy=1e12, half=2e15, tf32=1e15)
    for dtype, rate in (("float16", 2e15), ("float32", 1e15)):
        heavy = roofline.Event("mm", moved=1, flops=10**12, dtype=dtype)
        assert card.compute_seconds(heavy) == pytest.approx(1e12 / rate / roofline.PRODUCTS)
    thin = roofline.Event("mm", moved=10**9, flops=1, dtype="float16")
    assert card.compute_seconds(thin) == pytest.approx(1e-3 / roofline.POINTWISE)


def test_a_step_is_traced_with_the_operations_that_the_network_is_known_to_need(run_script: Callable) -> None:
    options = ("--atoms", 192, "--precision", "float16", "--launch", "eager", "recorded", "--label", "now")
    kernels = ("--kernels", "separate", "fused")
    eager, recorded, *fused = run_script("scripts/benchmarks/roofline.py", *options, *kernels).rows
    assert (eager["waits"], recorded["waits"]) == (1, 1)
    assert recorded["recorded_operators"] > 400 and recorded["operators"] < 20
    assert eager["tflop"] == recorded["tflop"] == pytest.approx(192 * 90 * 18.6e6 / 1e12, rel=0.1)
    assert recorded["predicted_ms"]["H200"] <= recorded["predicted_ms"]["H100"] <= eager["predicted_ms"]["H100"]
    for separate, row in zip((eager, recorded), fused, strict=True):
        assert row["waits"] == 1 and row["tflop"] == pytest.approx(separate["tflop"], rel=0.02)
        saved = 1e9 * (separate["moved_gb"] - row["moved_gb"])
        # Five layers of 48,300 bytes an edge become 11,316, and 2,048 of receivers; the encoder's 31,800 become 8,960.
        assert saved == pytest.approx(192 * 90 * (5 * (48_300 - 13_364) + 31_800 - 8_960), rel=0.1)
