"""Read and check a weights file with the same functions that load a model."""

from __future__ import annotations

import math
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.shapes import list_optional_shapes, list_required_shapes
from orbmm.errors import CheckpointError

_ROOM = 1 << 24


def check_weights(record: CheckpointRecord, path: Path, name: str) -> None:
    """Read and audit the weights file of a model: tensors only, names and shapes, finite real numbers, the cutoff.

    name: the name of the file in error messages
    Raises CheckpointError, also for a file that needs more memory than its model can need.
    """
    from orbmm.checkpoints.state_dict import (  # torch, which `orbmm models` does without
        audit_state_dict,
        check_cutoff,
        read_state_dict,
    )

    required, optional = list_required_shapes(record), list_optional_shapes(record)
    content = read_state_dict(path, name, largest_weights(record))
    try:
        audit = audit_state_dict(content, required, optional)
        check_cutoff(audit.used, record.architecture.cutoff_angstrom)
    except CheckpointError as error:
        raise CheckpointError(f"{name} does not fit {record.name}: {error}") from error


def largest_weights(record: CheckpointRecord) -> int:
    """Return the most bytes that a file of the model may take unpacked: four times its float64 tensors and 16 MiB."""
    shapes = {**list_required_shapes(record), **list_optional_shapes(record)}
    return 4 * 8 * sum(math.prod(shape) for shape in shapes.values()) + _ROOM
