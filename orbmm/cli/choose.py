"""`orbmm choose`: pick the frames that are most worth a label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import say
from orbmm.plain_text import quote_command

if TYPE_CHECKING:
    from orbmm.training.labels.choose import Choice


def choose(
    frames: Annotated[list[Path], typer.Argument(help="Run folders, or structures: .extxyz, .xyz, .db of ASE, .npz.")],
    model: Annotated[str, typer.Option(help="Model to improve: a name, or a weights file with its record.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picked frames: .npz or .extxyz.")],
    compare: Annotated[str | None, typer.Option(help="A second model; where both disagree, one is wrong.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of frames to pick.")] = 50,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Pick frames where a model expects large errors or two models disagree, each different from the others.

    Label them next, and train with them.
    """
    from orbmm.errors import TrainingError
    from orbmm.first_contact.load import load_model
    from orbmm.training.data.run_frames import read_all_structures
    from orbmm.training.data.writing import check_target, write_any
    from orbmm.training.labels.choose import choose_frames

    check_target(output)
    structures = read_all_structures(frames)
    loaded = load_model(model, device=device)
    other = None if compare is None else load_model(compare, device=device)
    if other is not None and other.weights_sha256 == loaded.weights_sha256:
        raise TrainingError("--compare has the same weights as --model, so both always agree: name another one")
    choice = choose_frames(structures, loaded, count, other, _Progress(len(structures)))
    write_any(output, choice.picked)
    _tell(choice, output)


class _Progress:
    """A printer of a line for every tenth of the frames."""

    def __init__(self, total: int) -> None:
        self._total, self._tenth = total, 0

    def __call__(self, done: int) -> None:
        if 10 * done // self._total > self._tenth:
            self._tenth = 10 * done // self._total
            say(f"{done} of {self._total} frames judged")


def _tell(choice: Choice, output: Path) -> None:
    if choice.left_out:
        say(f"{choice.left_out} frames left out: atoms overlap, or forces are too large to learn from")
    say(
        f"expected error of the worst atom: {1000 * choice.errors.mean():.0f} meV/Å in the picked frames, "
        f"{1000 * choice.all_errors.mean():.0f} meV/Å in all"
    )
    say(f"written: {output} with {len(choice.picked)} frames")
    say(f"next: {quote_command('orbmm', 'label', str(output), 'labelled.npz')}, then orbmm train")
