"""openmm-torch made ready, whichever of torch and openmm was imported first."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import openmm
import torch  # noqa: F401  (openmm-torch finds the CUDA libraries only once torch has loaded them)

_FAILED_LIBRARY = re.compile(r"Error loading library (?P<path>.+?OpenMMTorch(?P<platform>[A-Z]\w*)\.\w+): ")
"""How OpenMM reports a plugin of openmm-torch that did not load."""


@cache
def load_torch_plugin() -> str | None:
    """Load openmm-torch and its kernels; returns one line on why that failed, or None.

    OpenMM loads all plugins when it is imported. If that was before torch, those of openmm-torch did not find torch's
    libraries, and a Context would lack their kernels: they are loaded again here, for the platforms that are present.
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
    """Hold back the one line that openmm-torch 1.5 logs about its own use of an old name of OpenMM."""

    def is_other(record: logging.LogRecord) -> bool:
        return "simtk" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)
