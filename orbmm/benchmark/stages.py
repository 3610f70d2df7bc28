"""Read the share of time of each part of an evaluation or of a step from torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

PREFIX = "orbmm: "
"""Prefix of the names that the parts have in torch.profiler.record_function."""

GRAPH, REST = "graph", "transfer and integration"
GRAPH_AND_REST = f"{GRAPH} with {REST}"
"""Name of the rest of a step if no part of it is named "graph"."""


def measure_stages(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Return the share of each named part in the time of all parts, in the order of first occurrence.

    The result is empty if no part is named. On a GPU the time of its kernels counts, on a CPU that of the processor. A
    compiled or recorded network is one part.
    """
    spent, _ = _time_parts(work, device)
    whole = sum(spent.values())
    return {name: part / whole for name, part in spent.items()} if whole else {}


def measure_step_stages(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Return the share of each named part, and of the rest, in the time of the work; {} if no part is named.

    work: steps of OpenMM, and a wait for the last of them
    The rest is the work of OpenMM itself and the transfer of coordinates and forces, and the graph if it is not named.
    On a GPU it is all time in which no kernel of a named part runs. The profiler makes the shares of a small network
    and of the rest somewhat larger.
    """
    spent, whole = _time_parts(work, device)
    if not spent:
        return {}
    rest = REST if GRAPH in spent else GRAPH_AND_REST
    return {name: part / whole for name, part in spent.items()} | {rest: 1.0 - sum(spent.values()) / whole}


def _time_parts(work: Callable[[], object], device: torch.device) -> tuple[dict[str, float], float]:
    """Return the seconds of each named part, in the order of first occurrence, and of the whole."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        began = time.perf_counter()
        work()
        whole = time.perf_counter() - began
    spent: dict[str, float] = {}
    events = [event for event in profiler.events() if event.name.startswith(PREFIX)]
    for event in sorted(events, key=lambda event: event.time_range.start):
        name = event.name.removeprefix(PREFIX)
        microseconds = event.device_time_total if device.type == "cuda" else event.cpu_time_total
        spent[name] = spent.get(name, 0.0) + microseconds / 1e6
    return spent, whole
