"""The functions of torch.cuda that orbmm calls, for devices that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from oracles.stand_in_gpu.operators import Call, Operators
from oracles.stand_in_gpu.tensor import StandInTensor
from torch import Tensor


class Queue:
    """A stream or an event: the stand-in carries everything out at once, so there is nothing to wait for."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_event(self, event: Queue) -> None: ...

    def wait_stream(self, stream: Queue) -> None: ...

    def record(self) -> None: ...


class Runtime:
    """The state behind torch.cuda: how many devices there are, which is current, and the capture in progress.

    free_bytes: what each device says is free
    """

    def __init__(self, operators: Operators, devices: int, free_bytes: int | tuple[int, ...]) -> None:
        self.operators, self.devices, self.free_bytes, self.current = operators, devices, free_bytes, 0

    def list_functions(self) -> dict[str, Any]:
        """Return what replaces the attributes of torch.cuda."""
        return {
            "is_available": lambda: True,
            "device_count": lambda: self.devices,
            "get_device_name": lambda device=None: "stand-in GPU",
            "current_device": lambda: self.current,
            "mem_get_info": self.mem_get_info,
            "memory_reserved": lambda device=None: 0,
            "memory_allocated": lambda device=None: 0,
            "empty_cache": lambda: None,
            "synchronize": lambda device=None: self.operators.wait("synchronize"),
            "Stream": Queue,
            "Event": Queue,
            "current_stream": Queue,
            "stream": nullcontext,
            "device_of": self.device_of,
            "CUDAGraph": lambda: Recording(self.operators),
            "graph_pool_handle": lambda: (0, 1),
            "graph": self.capture,
            "is_current_stream_capturing": lambda: self.operators.recording is not None,
        }

    def mem_get_info(self, device: torch.device | None = None) -> tuple[int, int]:
        """Return the free and all bytes of a device, None for the current one."""
        index = None if device is None else device.index
        each = self.free_bytes
        free = each if isinstance(each, int) else each[self.current if index is None else index]
        return free, free

    @contextmanager
    def device_of(self, tensor: Tensor) -> Iterator[None]:
        """Make the device of a tensor the current one, in a `with` block."""
        before, self.current = self.current, tensor.index if isinstance(tensor, StandInTensor) else self.current
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def capture(
        self, work: Recording, pool: Any = None, stream: Queue | None = None, capture_error_mode: str = "global"
    ) -> Iterator[None]:
        """Record the operators of a `with` block; their results are worthless until the recording is replayed."""
        self.operators.recording = work.calls
        try:
            yield
        finally:
            self.operators.recording = None
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for call in work.calls:
                call.spoil()


class Recording:
    """What was called during a capture, to be called again on the same arrays.

    A number that the host computed during the capture is the same in every replay, and an array that is not written
    again keeps its contents: as in a CUDA graph, both show as wrong results.
    """

    def __init__(self, operators: Operators) -> None:
        self.calls: list[Call] = []
        self._operators = operators

    def replay(self) -> None:
        """Repeat the calls: one launch."""
        self._operators.launched["replay"] += 1
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for call in self.calls:
                call.repeat()
