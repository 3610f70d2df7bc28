"""A network translated to machine code: fewer passes over the edges, after a wait."""

from __future__ import annotations

import os
import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path

import torch

from orbmm.errors import MissingDependency, ModelError
from orbmm.model.potential import Potential
from orbmm.model.precision import Precision

COMPILERS = ("c++", "g++", "clang++")


def compile_network(potential: Potential) -> Potential:
    """The potential with its plain network translated at its first evaluation (torch.compile, shapes left open).

    Energies and forces differ from the plain ones by rounding, so a run keeps to one of the two. The translation is
    kept on disk by torch (see compile_cache), and later processes on the machine start faster.
    Raises what check_compilable raises.
    """
    check_compilable(potential.device, potential.precision)
    potential.network.compile_network()
    return replace(potential, engine=None)


def check_compilable(device: torch.device, precision: Precision) -> None:
    """Raise ModelError for a precision that a compiled network does not have, MissingDependency where a CPU network has no
    C++ compiler or no headers of Python to be translated with."""
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
            "compile = true needs Python's headers (Python.h), and this Python came without them: install python3-dev or "
            "its like, or leave compile out"
        )


def has_python_headers() -> bool:
    """Whether what torch writes in C++ can be made into a module of this Python."""
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def find_compiler() -> str | None:
    """The C++ compiler that torch would take, None where there is none."""
    for name in (os.environ.get("CXX"), *COMPILERS):
        if name and shutil.which(name):
            return name
    return None
