"""Read what went wrong inside a force: every force kind wraps an exception differently."""

from __future__ import annotations

import re

_INSIDE_TORCHSCRIPT = re.compile(r"RuntimeError: [\w.]+: (?P<sentence>.*?)\n\nAt:\n", re.DOTALL)
"""TorchScript's report of an exception in a Python operator: class, text, and the lines of the Python stack."""

_OUT_OF_MEMORY = (
    "out of memory",  # CUDA by torch
    "out_of_memory",  # CUDA by OpenMM, which gives the name of the error
    "can't allocate memory",  # torch on a CPU
    "unable to allocate",  # NumPy
    "std::bad_alloc",
)


def read_sentence(error: Exception) -> str:
    """Return the sentence that was raised inside a force of any kind, from the exception that OpenMM made of it."""
    text = str(error)
    found = _INSIDE_TORCHSCRIPT.search(text)
    return found["sentence"] if found else text


def is_out_of_memory(text: str) -> bool:
    """Return True if an error message of torch, CUDA, NumPy or Python says that memory is short."""
    return any(sign in text.lower() for sign in _OUT_OF_MEMORY)
