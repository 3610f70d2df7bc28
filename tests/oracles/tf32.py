"""TF32 on a CPU, as scripts/benchmarks/tf32.py emulates it: operands of float32 products keep 10 bits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from orbmm.first_contact.emulation import TensorFloat32, cut

__all__ = ["TensorFloat32", "cut", "heads_in_tf32"]
_SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "tf32.py"
_SPEC = importlib.util.spec_from_file_location("tf32_script", _SCRIPT)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

heads_in_tf32 = _MODULE.heads_in_tf32
