"""Choose precision and device of a prediction by name; a precision is active only during a prediction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.errors import DeviceError, ModelError, name_nearest


@dataclass(frozen=True)
class Precision:
    """The float type of a prediction, and the rounding of the operands of its large matrix products.

    dtype: of geometry, node and edge features, normalisation and sums; heads are always in float64
    allows_tf32: a GPU with TF32 may round the operands to its 10 bits
    operands: the type to which the operands of the perceptrons' products are rounded, None for no rounding; products
        are accumulated in float32
    """

    name: str
    dtype: torch.dtype
    allows_tf32: bool = False
    operands: torch.dtype | None = None

    @contextmanager
    def in_force(self, device: torch.device) -> Iterator[None]:
        """Set torch's matrix precision and disable autocast in a `with` block, and restore both afterwards.

        Other torch code keeps its settings, and its settings do not change a prediction.
        """
        wanted = "high" if self.allows_tf32 and device.type == "cuda" else "highest"
        with torch.autocast(device.type, enabled=False), _MATRIX_PRECISION.hold(wanted):
            yield

    def stored_operands(self, device: torch.device) -> torch.dtype:
        """Return the float type in which operands are stored.

        CPUs multiply bfloat16 but not float16: there float16 operands are rounded and stored in float32, which gives
        the same numbers at the speed of float32.
        """
        if self.operands is None or (self.operands == torch.float16 and device.type == "cpu"):
            return self.dtype
        return self.operands

    def round_operand(self, values: Tensor) -> Tensor:
        """Return the values rounded, in the type of stored_operands, ready to be an operand."""
        if self.operands is None:
            return values
        return values.to(self.operands).to(self.stored_operands(values.device))


class _MatrixPrecision:
    """Torch's matrix precision, which belongs to the whole process: set by the first prediction, restored by the last.

    Predictions in several threads share one setting; one that needs another waits until they have ended.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0
        self._held = ""
        self._restore: Callable[[], None] = lambda: None

    @contextmanager
    def hold(self, wanted: str) -> Iterator[None]:
        """Set "high" or "highest" in a `with` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._holders or self._held == wanted)
            if not self._holders:
                self._restore = _set_matrix_precision(wanted)
                self._held = wanted
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                if not self._holders:
                    self._restore()
                    self._changed.notify_all()


def _set_matrix_precision(wanted: str) -> Callable[[], None]:
    """Set the matrix precision and sums in float32, and return a function that restores both."""
    restore_products, restore_sums = _set_products(wanted), _set_sums()

    def restore() -> None:
        restore_products()
        restore_sums()

    return restore


def _set_products(wanted: str) -> Callable[[], None]:
    """Set the precision of products, and return what restores it, whichever of torch's two interfaces had set it."""
    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = cuda.fp32_precision, cpu.fp32_precision
    try:
        name = torch.get_float32_matmul_precision()
    except RuntimeError:  # the newer interface was used, and the older one may then not be read
        name = None
    if name == wanted and "bf16" not in before:
        return lambda: None
    torch.set_float32_matmul_precision(wanted)

    def restore() -> None:
        if name is not None:
            torch.set_float32_matmul_precision(name)
        cuda.fp32_precision, cpu.fp32_precision = before

    return restore


# Switches of torch that let a GPU add products of half precision in half precision; the first two are on by default.
_HALF_SUMS = (
    "allow_fp16_reduced_precision_reduction",
    "allow_bf16_reduced_precision_reduction",
    "allow_fp16_accumulation",
)


def _set_sums() -> Callable[[], None]:
    """Let a GPU add products of half precision in float32 alone, and return what restores the switches."""
    matmul = torch.backends.cuda.matmul
    before = {name: getattr(matmul, name) for name in _HALF_SUMS if getattr(matmul, name)}
    for name in before:
        setattr(matmul, name, False)

    def restore() -> None:
        for name, value in before.items():
            setattr(matmul, name, value)

    return restore


_MATRIX_PRECISION = _MatrixPrecision()

_PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32-high", torch.float32, allows_tf32=True),
        Precision("float32-highest", torch.float32),
        Precision("float64", torch.float64),
        Precision("float16", torch.float32, operands=torch.float16),
        Precision("bfloat16", torch.float32, operands=torch.bfloat16),
    )
}


def find_precision(name: str) -> Precision:
    """Return the precision of this name. Raises ModelError, which names the nearest one, for an unknown name."""
    if not isinstance(name, str) or name not in _PRECISIONS:
        raise ModelError(f"unknown precision '{name}': {name_nearest(str(name), _PRECISIONS)}")
    return _PRECISIONS[name]


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the torch device of this name; None and "auto" mean the first GPU if there is one, else the CPU.

    Raises DeviceError for an absent device, so that a run never uses a slower one silently.
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device '{name}': expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device '{name}' is not supported: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"device '{name}' was requested but torch sees {found} CUDA devices: use device='cpu'")
    return device


def is_unnumbered(device: torch.device) -> bool:
    """Return True for a GPU without a number."""
    return device.type == "cuda" and device.index is None
