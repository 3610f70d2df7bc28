"""`orbmm label`: compute energies and forces of frames, for `orbmm train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orbmm.cli.screen import say

if TYPE_CHECKING:
    from orbmm.training.labels.label import Labelling


def label(
    frames: Annotated[Path, typer.Argument(help="Structures: .extxyz, .xyz, .db of ASE, .npz, or a run folder.")],
    output: Annotated[Path, typer.Argument(help="Labelled frames: .npz or .extxyz.")],
    calculator: Annotated[
        str, typer.Option(help="tblite:GFN1-xTB, orbmm:MODEL, or module:function that returns an ASE calculator.")
    ] = "tblite:GFN1-xTB",
    workers: Annotated[int, typer.Option(min=1, help="Processes; each computes with one thread.")] = 1,
    largest_force: Annotated[float, typer.Option(help="Leave out frames with a larger force, in eV/Å.")] = 30.0,
) -> None:
    """Label frames with quantum chemistry or with another network. Stopped and repeated, it goes on where it was."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one frame a core is faster than one frame on all cores
    from orbmm.training.data.run_frames import read_all_structures
    from orbmm.training.data.writing import check_target
    from orbmm.training.labels.label import label_file

    check_target(output)
    done = label_file(read_all_structures([frames]), output, calculator, workers, largest_force, print_labels)
    reason = f": no result, or a force above {largest_force:g} eV/Å" if done.left_out else ""
    say(f"written: {output} with {done.done} of {done.total} frames, {done.left_out} left out{reason}")


def print_labels(progress: Labelling) -> None:
    say(f"{progress.done} of {progress.total} frames labelled, {progress.left_out} left out")
