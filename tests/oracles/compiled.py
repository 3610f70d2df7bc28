"""Compile a Triton kernel for a GPU that is not there, and read from the machine code what it takes."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Launch:
    """A kernel as it is launched: types of the arguments in order ("*fp16", "i32"), constants, warps and stages."""

    kernel: Any
    types: list[str]
    constants: Mapping[str, Any]
    warps: int = 4
    stages: int = 3


@dataclass(frozen=True)
class Compiled:
    """What the machine code takes.

    registers: of a thread; stack_bytes: of a thread, in slow memory (spilled registers); shared_kb: of a program [KiB]
    code: the machine code as text (SASS); ptx: the code before it
    """

    registers: int
    stack_bytes: int
    shared_kb: float
    code: str
    ptx: str

    def count(self, instruction: str) -> int:
        """How often an instruction, or any that begins with this name, occurs."""
        return len(re.findall(rf"\s{re.escape(instruction)}\b", self.code))


def compile_for(launch: Launch, capability: int) -> Compiled:
    """The kernel for a GPU of this compute capability (90 for 9.0), with pointers aligned as torch aligns them."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = launch.kernel.arg_names
    signature = {**dict(zip(names, launch.types, strict=False)), **dict.fromkeys(launch.constants, "constexpr")}
    fixed = {(names.index(key),): value for key, value in launch.constants.items()}
    # Widths and pointers are multiples of 16, which Triton notices at a real launch.
    aligned = {(place,): [["tt.divisibility", 16]] for place, kind in enumerate(launch.types) if kind != "fp32"}
    source = ASTSource(fn=launch.kernel, signature=signature, constexprs=fixed, attrs=aligned)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run([tool, option, file.name], check=True, capture_output=True, text=True).stdout
            for option in ("--dump-resource-usage", "--dump-sass")
        )
    registers, stack = (int(re.search(rf"\b{name}:(\d+)", usage)[1]) for name in ("REG", "STACK"))
    return Compiled(registers, stack, made.metadata.shared / 1024, code, made.asm["ptx"])
