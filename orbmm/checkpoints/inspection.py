"""Read a weights file as a model will read it, before it is believed."""

from __future__ import annotations

import math
from pathlib import Path

from orbmm.checkpoints.catalog import CheckpointRecord
from orbmm.checkpoints.shapes import list_optional_shapes, list_required_shapes
from orbmm.errors import CheckpointError

_ROOM = 1 << 24


def check_weights(record: CheckpointRecord, path: Path, name: str) -> None:
    """Read and audit the file of a model: tensors only, their names and shapes, finite and real numbers, the cutoff.

    name: what a sentence calls the file
    Raises CheckpointError, also for a file that takes more memory than its model can need.
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
    """Return the bytes that a file of the model may take unpacked: four times its tensors as float64, and 16 MiB."""
    shapes = {**list_required_shapes(record), **list_optional_shapes(record)}
    return 4 * 8 * sum(math.prod(shape) for shape in shapes.values()) + _ROOM
