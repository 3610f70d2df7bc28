"""What went wrong inside a force, in our own words: every force kind wraps an exception differently."""

from __future__ import annotations

import re

_INSIDE_TORCHSCRIPT = re.compile(r"RuntimeError: [\w.]+: (?P<sentence>.*?)\n\nAt:\n", re.DOTALL)
"""How TorchScript reports an exception of a Python operator: class, text, and the lines of the Python stack."""


def read_sentence(error: Exception) -> str:
    """The sentence that was raised inside a force, from the exception that OpenMM made of it (any force kind)."""
    text = str(error)
    found = _INSIDE_TORCHSCRIPT.search(text)
    return found["sentence"] if found else text
