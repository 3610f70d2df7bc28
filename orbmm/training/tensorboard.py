"""Write the history of a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from orbmm.errors import MissingDependency
from orbmm.training.loop import OnRow, Row
from orbmm.training.parallel import is_first


def follow_with_tensorboard(folder: Path, on_row: OnRow) -> OnRow:
    """Return a function that writes the numbers of each row as TensorBoard events, and then calls on_row.

    Raises MissingDependency where TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency(
            "tensorboard is true in [run], but it is not installed: pip install tensorboard, or leave it out; "
            "history.csv holds the same numbers"
        ) from error
    if not is_first():
        return on_row
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(row: Row) -> None:
        for name, value in row.items():
            if name != "step" and isinstance(value, float):
                writer.add_scalar(name, value, int(row["step"]))
        writer.flush()
        on_row(row)

    return write
