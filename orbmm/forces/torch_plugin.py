"""Load openmm-torch, whether torch or openmm was imported first."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import openmm
import torch  # noqa: F401  (openmm-torch finds the CUDA libraries only once torch has loaded them)

_FAILED_LIBRARY = re.compile(r"Error loading library (?P<path>.+?OpenMMTorch(?P<platform>[A-Z]\w*)\.\w+): ")
"""OpenMM's report of a plugin of openmm-torch that did not load."""


@cache
def load_torch_plugin() -> str | None:
    """Load openmm-torch and its kernels; return one line with the reason for a failure, or None.

    OpenMM loads all plugins when it is imported. If torch was not imported before, the plugins of openmm-torch did not
    find the libraries of torch, and a Context lacks their kernels. They are loaded again here, for the present
    platforms.
    """
    try:
        with _without_simtk_warning():
            import openmmtorch  # noqa: F401
    except (ImportError, OSError) as error:
        return str(error).splitlines()[0]
    platforms = {openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())}
    for failure in openmm.Platform.getPluginLoadFailures():
        found = _FAILED_LIBRARY.match(failure)
        if found and found["platform"] in platforms:
            try:
                openmm.Platform.loadPluginLibrary(found["path"])
            except openmm.OpenMMException as error:
                return str(error).splitlines()[0]
    return None


@contextmanager
def _without_simtk_warning() -> Iterator[None]:
    """Suppress the one line that openmm-torch 1.5 logs about its use of an old name of OpenMM."""

    def is_other(record: logging.LogRecord) -> bool:
        return "simtk" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)
