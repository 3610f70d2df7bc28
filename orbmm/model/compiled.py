"""Compile a network to machine code: fewer passes over the edges, after a wait."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from orbmm.errors import MissingDependency, ModelError
from orbmm.model.potential import Potential
from orbmm.model.precision import Precision

COMPILERS = ("c++", "g++", "clang++")
ROOM_BYTES = 50_000_000  # ample for the assembly and object files of one network


def compile_network(potential: Potential) -> Potential:
    """Return the potential with its plain network compiled at its first evaluation (torch.compile, dynamic shapes).

    Energies and forces differ from the plain ones by rounding, so a run uses only one of the two. torch keeps the
    compiled code on disk (see compile_cache), and later processes on the machine start faster.
    Raises the errors of check_compilable.
    """
    check_compilable(potential.device, potential.precision)
    potential.network.compile_network()
    return replace(potential, engine=None)


def check_compilable(device: torch.device, precision: Precision) -> None:
    """Check that a network in this precision can be compiled on this device.

    Raises ModelError for a precision that compiled networks do not support, and MissingDependency if a CPU network has
    no C++ compiler or no Python headers to be compiled with.
    """
    if precision.operands is not None:
        raise ModelError(
            f"a compiled network does not round to {precision.name}: choose another precision, or not to compile"
        )
    if device.type != "cpu":
        return
    if find_compiler() is None:
        raise MissingDependency(
            "compile = true needs a C++ compiler, and none of $CXX, c++, g++ and clang++ is on the PATH: install one "
            "(g++ will do), or leave compile out"
        )
    if not has_python_headers():
        raise MissingDependency(
            "compile = true needs Python's headers (Python.h), and this Python came without them: install "
            "python3-dev or its like, or leave compile out"
        )
    if not has_temporary_room():
        raise ModelError(
            f"compile = true needs {ROOM_BYTES / 1e6:.0f} MB in the temporary folder {find_temporary_folder()}: make "
            "room there, set TMPDIR to another folder, or leave compile out"
        )


def has_python_headers() -> bool:
    """Return True if the headers of this Python are installed, which the C++ code of torch includes."""
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def has_temporary_room() -> bool:
    """Return True if the temporary folder has room for what a C++ compiler writes there."""
    try:
        return shutil.disk_usage(find_temporary_folder()).free >= ROOM_BYTES
    except OSError:  # there is no such folder
        return False


def find_temporary_folder() -> str:
    """Return the folder that a compiler writes to: $TMPDIR also if it is full, which Python then passes over."""
    return os.environ.get("TMPDIR") or tempfile.gettempdir()


def find_compiler() -> str | None:
    """Return the C++ compiler that torch would use, or None if there is none."""
    for name in (os.environ.get("CXX"), *COMPILERS):
        if name and shutil.which(name):
            return name
    return None
