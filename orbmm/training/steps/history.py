"""The history of a training: a row for each validation, in history.csv and for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from orbmm.errors import MissingDependency
from orbmm.files import write_file
from orbmm.training.parallel import is_first

FILE = "history.csv"

Row = dict[str, float | str]
OnRow = Callable[[Row], None]


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """Write all rows to history.csv; a column that some rows lack is empty there."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_file(folder / FILE, text.getvalue().encode())


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
