"""Which part of an evaluation takes how much of its time, read off torch's profiler."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

PREFIX = "orbmm: "
"""How the parts are named where they are worked on, with torch.profiler.record_function."""


def measure_stages(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Share of each named part in the time of all parts, in the order in which they first come; {} where none is named.

    On a GPU the time of its kernels counts, on a CPU that of the processor. A compiled or
    recorded network is one part.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        work()
    spent: dict[str, float] = {}
    events = [event for event in profiler.events() if event.name.startswith(PREFIX)]
    for event in sorted(events, key=lambda event: event.time_range.start):
        name = event.name.removeprefix(PREFIX)
        time = event.device_time_total if device.type == "cuda" else event.cpu_time_total
        spent[name] = spent.get(name, 0.0) + time
    whole = sum(spent.values())
    return {name: time / whole for name, time in spent.items()} if whole else {}
