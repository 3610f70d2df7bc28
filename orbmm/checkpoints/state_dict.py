"""Read a weights file without executing any of it, and check that it holds the tensors that the network needs."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orbmm.checkpoints.envelope import check_envelope
from orbmm.checkpoints.shapes import Shapes, describe_family, family_kind
from orbmm.errors import CheckpointError

logger = logging.getLogger(__name__)

KNOWN_UNUSED = (
    r"model\._decoder\..*",  # a node decoder of pretraining
    r"grad_(forces|stress)_normalizer\..*",  # scales of the training loss
    r".*\.num_batches_tracked",  # counters of the running statistics; shape () or (1,)
)
"""Tensors of official files that inference does not use."""

OLD_NAMES = {
    r"^heads\.stress\.(diag|offdiag)_normaliser\.": r"heads.stress.\1_normalizer.",
}
"""Names in older files, and their current names."""

LARGEST_BYTES = 4 << 30
"""Most bytes of tensors in a file whose model is not known."""

NUMBERS = (torch.float32, torch.float64)
WRAPPERS = ("module.", "_orig_mod.")

HEAD = re.compile(r"heads\.([^.]+)\.")


@dataclass(frozen=True)
class Audit:
    """The tensors of a state dict, sorted by use.

    used: tensors by their current names, checked to be present, of the right shape and finite
    unused: names of known tensors that inference does not need
    extra_heads: heads that the network does not have; ignored
    """

    used: dict[str, Tensor]
    unused: tuple[str, ...]
    extra_heads: tuple[str, ...]


def read_state_dict(path: Path, name: str | None = None, largest: int = LARGEST_BYTES) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file or of a torch file, on the CPU.

    A torch file is opened with weights_only=True, so no code in it is executed.
    name: the name of the file in error messages, None for its path; largest: the most bytes that the tensors may need
    Raises CheckpointError for a file that is damaged, too large or holds anything except named tensors.
    """
    name = name or str(path)
    read = _read_safetensors if check_envelope(path, name, largest) == "safetensors" else _read_torch
    content = read(path, name)
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} holds a {type(content).__name__}, expected named tensors (a state dict)")
    strange = [key for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange or not content:
        raise CheckpointError(
            f"{name} holds {_first_few(map(str, strange)) or 'nothing'}, expected only named tensors: "
            "save the state dict itself, torch.save(model.state_dict(), FILE)"
        )
    return content


def audit_state_dict(state_dict: Mapping[str, Tensor], required: Shapes, optional: Shapes | None = None) -> Audit:
    """Sort the tensors of a state dict into used, known as unused, and extra heads.

    required: name -> shape of all tensors that the requested outputs use
    optional: the same for heads that may be absent, each as a whole
    Raises CheckpointError for a tensor that is missing, of another shape, complex, not finite or unknown.
    """
    _refuse_wrapper(state_dict)
    tensors = _rename_old(state_dict)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {**required, **_heads_begun(shapes, optional or {})}
    _refuse_other_kind(shapes, {**required, **(optional or {})})
    _refuse_missing(shapes, expected)
    _refuse_other_shapes(shapes, expected)
    unused = sorted(name for name in shapes.keys() - expected.keys() if is_known_unused(name))
    rest = shapes.keys() - expected.keys() - set(unused)
    extra_heads = _find_extra_heads(rest, expected)
    _refuse_unknown(rest, extra_heads, _compare(shapes, expected))
    used = {name: tensors[name] for name in expected}
    _refuse_other_numbers(used)
    _refuse_not_finite(used)
    if extra_heads:
        logger.info("ignored heads that the network does not have: %s", ", ".join(extra_heads))
    return Audit(used, tuple(unused), extra_heads)


def check_cutoff(used: Mapping[str, Tensor], cutoff_angstrom: float) -> None:
    """Raise CheckpointError for another cutoff, the only property of the architecture that no shape shows."""
    found = float(used["model.rbf_transform.r_max"])
    if abs(found - cutoff_angstrom) > 1e-6:
        raise CheckpointError(
            f"the weights are for a cutoff of {found:g} Å, expected {cutoff_angstrom:g} Å; "
            "choose the model they were trained for"
        )


def _read_safetensors(path: Path, name: str) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{name} is torn or no safetensors file ({error}): copy or download it again") from error


def _read_torch(path: Path, name: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{name} is no weights file, or holds more than tensors, which is refused because opening it could run "
            "foreign code: give a file written by torch.save(model.state_dict(), FILE) or a .safetensors file"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise CheckpointError(f"{name} is torn or no weights file: copy or download it again") from error


def _rename_old(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under their current names."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        for old, new in OLD_NAMES.items():
            name = re.sub(old, new, name)
        if name in renamed:
            raise CheckpointError(f"the weights hold {name} twice, under its old and its new name: remove one of them")
        renamed[name] = tensor
    return renamed


def _heads_begun(shapes: Shapes, optional: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the optional tensors of each head that has at least one tensor in the file; the head must be complete."""
    begun = {_head_of(name) for name in optional if name in shapes}
    return {name: shape for name, shape in optional.items() if _head_of(name) in begun}


def is_known_unused(name: str) -> bool:
    """Return True for a tensor of the published files that inference does not need."""
    return any(re.fullmatch(pattern, name) for pattern in KNOWN_UNUSED)


def _head_of(name: str) -> str:
    match = HEAD.match(name)
    return match[1] if match else name


def _find_extra_heads(names: Iterable[str], expected: Shapes) -> tuple[str, ...]:
    """Return the heads in the file of which the network has no tensor."""
    in_file = {match[1] for name in names if (match := HEAD.match(name))}
    return tuple(sorted(in_file - {_head_of(name) for name in expected}))


def _refuse_other_kind(shapes: Shapes, network: Shapes) -> None:
    """Refuse a direct file in a conservative network: no tensor is missing, but ZBL repulsion and forces differ."""
    if family_kind(shapes) == "direct" and family_kind(network) == "conservative":
        raise CheckpointError(
            f"the weights are of another network: {_compare(shapes, network)}; choose the model they were trained for"
        )


def _refuse_missing(shapes: Shapes, expected: Shapes) -> None:
    missing = [name for name in expected if name not in shapes]
    if missing:
        raise CheckpointError(
            f"the weights lack {len(missing)} of {len(expected)} tensors ({_first_few(missing)}): "
            f"{_compare(shapes, expected)}; choose the model they were trained for"
        )


def _refuse_other_shapes(shapes: Shapes, expected: Shapes) -> None:
    wrong = [name for name, shape in expected.items() if shapes[name] != tuple(shape)]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{len(wrong)} tensors of the weights have another shape, such as {name}: {shapes[name]}, "
            f"expected {tuple(expected[name])}; {_compare(shapes, expected)}"
        )


def _refuse_unknown(rest: Iterable[str], extra_heads: tuple[str, ...], comparison: str) -> None:
    unknown = sorted(name for name in rest if _head_of(name) not in extra_heads)
    if unknown:
        raise CheckpointError(
            f"the weights hold {len(unknown)} tensors that the network does not know ({_first_few(unknown)}): "
            f"{comparison}; choose the model they were trained for"
        )


def _refuse_other_numbers(used: Mapping[str, Tensor]) -> None:
    """Refuse numbers that are not real or were rounded: a network would drop the imaginary part, or compute on.

    Numbers are of 32 or 64 bits in every published file.
    """
    strange = {name: tensor.dtype for name, tensor in used.items() if tensor.dtype not in NUMBERS}
    if strange:
        found = ", ".join(sorted({str(kind).removeprefix("torch.") for kind in strange.values()}))
        raise CheckpointError(
            f"{len(strange)} tensors of the weights hold numbers of type {found} ({_first_few(strange)}), expected "
            "float32 or float64: give the weights as they were before they were converted"
        )


def _refuse_wrapper(state_dict: Mapping[str, Tensor]) -> None:
    """Refuse names that torch puts before those of a network that it has wrapped."""
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in state_dict):
            raise CheckpointError(
                f"the names of all tensors begin with '{prefix}', as of a network that torch has wrapped: save the "
                "state dict of the network itself"
            )


def _refuse_not_finite(used: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in used.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} tensors of the weights hold NaN or infinity ({_first_few(broken)}): "
            "the file is damaged or its training diverged"
        )


def _compare(shapes: Shapes, expected: Shapes) -> str:
    return f"got {describe_family(shapes)}, expected {describe_family(expected)}"


def _first_few(names: Iterable[str]) -> str:
    """Return up to three of the names, followed by dots if there are more."""
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
