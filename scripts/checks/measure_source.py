"""Measure the source: how long files and functions are, what one way imports, what a command really calls.

    python scripts/checks/measure_source.py [--trace run --trace prepare ... | --trace all] [--json FILE]

Lines of a function leave out its docstring. A closure holds the files of orbmm that a module imports, directly or not,
inside functions too, but not for type checking alone. A trace runs one way in a process of its own, on the CPU with
PythonForce, and counts functions of orbmm that were called, from the command to the end (of `run`: to the end of the
first step); bodies of modules and classes are left out. The same source gives the same JSON on every machine.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SHORT = 60  # lines
WAYS = ("cli.run", "simulation.run", "cli.prepare", "cli.analyze", "forces.openmmml_plugin")
TRACES = ("run", "prepare", "analyze", "createSystem")


def measure(package: Path) -> dict[str, Any]:
    """Return the numbers of a package: files, functions, folders, and the closure of each way that it has."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    lengths = {path: text.count("\n") for path, text in sources.items()}
    coded = [path for path, text in sources.items() if has_code(text)]
    functions = [length for text in sources.values() for length in list_function_lengths(text)]
    folders = Counter(path.parent for path in sources if path.name != "__init__.py")
    largest = folders.most_common(1)[0][0]
    return {
        "files": len(sources),
        "files_with_code": len(coded),
        "lines": sum(lengths.values()),
        "lines_a_file": summarize(list(lengths.values())),
        "files_under_60_lines": sum(length < SHORT for length in lengths.values()),
        "files_with_code_under_60_lines": sum(lengths[path] < SHORT for path in coded),
        "functions": len(functions),
        "lines_a_function": summarize(functions),
        "files_a_folder": summarize(list(folders.values())) | {"largest": largest.relative_to(package).as_posix()},
        "closures": {
            f"{package.name}.{way}": {"files": len(found), "lines": sum(lengths[path] for path in found)}
            for way in WAYS
            if (found := find_closure(package, f"{package.name}.{way}"))
        },
    }  # fmt: skip


def has_code(source: str) -> bool:
    """Return False for a file that holds its docstring alone, such as the __init__.py of most folders."""
    body = ast.parse(source).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def summarize(values: Sequence[int]) -> dict[str, float]:
    """Return median, 90th percentile and maximum, each one of the values or the mean of two."""
    ordered = sorted(values)
    count = len(ordered)
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return {"median": median, "p90": ordered[min(count - 1, -(-9 * count // 10) - 1)], "max": ordered[-1]}


def list_function_lengths(source: str) -> Iterator[int]:
    """Yield the lines of every function without its docstring, as tests/test_layout.py counts them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            yield (node.end_lineno or node.lineno) - node.lineno + 1 - docstring.count("\n")


def find_closure(package: Path, module: str) -> set[Path]:
    """Return the files that a module imports, itself and the packages above included; empty where there is none."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = find_file(package, name)
        if path is not None and path not in found:
            found.add(path)
            waiting += [name.rpartition(".")[0], *list_imports(path.read_text(encoding="utf-8"), package.name)]
    return found


def find_file(package: Path, module: str) -> Path | None:
    """Return the file of a module or package by its dotted name; None where there is none."""
    first, *parts = module.split(".")
    path = package.joinpath(*parts)
    choices = [path / "__init__.py", path.with_suffix(".py")] if first == package.name else []
    return next((choice for choice in choices if choice.is_file()), None)


def list_imports(source: str, package: str) -> list[str]:
    """Return the dotted names of the package that a file imports, but for type checking alone."""
    names: list[str] = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        waiting += ast.iter_child_nodes(node)
    return [name for name in names if name.split(".")[0] == package]


class Trace:
    """Which functions below a folder are called while it is active, in every thread."""

    def __init__(self, package: Path) -> None:
        self._folder = f"{package}{os.sep}"
        self._depths: Counter[int] = Counter()
        self.called: set[tuple[str, str, int]] = set()
        self.deepest = 0

    def start(self) -> None:
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def describe(self) -> dict[str, int]:
        """Return the numbers of functions and of files, and the deepest stack of frames of the package."""
        files = {file for file, _, _ in self.called}
        return {"functions": len(self.called), "files": len(files), "deepest_stack": self.deepest}

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(self._folder):
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or a class
            return
        thread = threading.get_ident()
        self._depths[thread] += 1 if event == "call" else -1
        self.deepest = max(self.deepest, self._depths[thread])
        if not code.co_name.startswith("<"):
            self.called.add((code.co_filename, code.co_qualname, code.co_firstlineno))


def trace(way: str) -> dict[str, int]:
    """Return what a way calls, walked in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="orbmm-trace-") as folder:
        path = Path(folder) / "trace.json"
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "ORBMM_CACHE": str(Path(folder) / "cache")}
        command = [sys.executable, __file__, "--walk", way, "--json", str(path)]
        done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
        if not path.is_file():
            raise SystemExit(f"the way '{way}' could not be walked:\n{done.stderr[-2000:]}")
        return json.loads(path.read_text(encoding="utf-8"))


def walk(way: str) -> dict[str, int]:
    """Walk a way in this process, from the current folder; return what it called."""
    import orbmm

    found = Trace(Path(orbmm.__file__).parent)
    system = REPOSITORY / "systems" / "alanine-dipeptide" / "system.toml"
    run = ["run", str(system), "--steps", "20", "--no-analyze", "--device", "cpu", "--force", "PythonForce"]
    if way == "createSystem":
        return _walk_create_system(found)
    if way == "run":
        _stop_after_first_step(found)
        return _call_command(run, found)
    if way == "prepare":
        return _call_command(["prepare", "alanine-dipeptide", "--equilibration-ps", "0.01"], found)
    _call_command(run, None)
    return _call_command(["analyze", "runs/alanine-dipeptide"], found)


def _call_command(arguments: list[str], found: Trace | None) -> dict[str, int]:
    """Call orbmm with arguments, traced or not; exit codes of an analysis (0 or 3) are both an end."""
    sys.argv = ["orbmm", *arguments]
    if found:
        found.start()
    try:
        from orbmm.cli.main import main

        main()
    except SystemExit as end:
        if end.code not in (0, 3):
            raise
    finally:
        if found:
            found.stop()
    return found.describe() if found else {}


def _stop_after_first_step(found: Trace) -> None:
    """Let every integrator of OpenMM end the trace when its first step is done."""
    import openmm

    def stop_after(step: Callable[..., None]) -> Callable[..., None]:
        def stepped(self: object, *arguments: object) -> None:
            step(self, *arguments)
            found.stop()

        return stepped

    for kind in vars(openmm).values():
        if inspect.isclass(kind) and issubclass(kind, openmm.Integrator) and "step" in vars(kind):
            kind.step = stop_after(kind.step)


def _walk_create_system(found: Trace) -> dict[str, int]:
    from openmm import app
    from openmmml import MLPotential

    topology = app.PDBFile(str(REPOSITORY / "systems" / "water" / "water.pdb")).topology
    found.start()
    try:
        MLPotential("orb-mini-conservative-inf-xtb").createSystem(topology, device="cpu", force="PythonForce")
    finally:
        found.stop()
    return found.describe()


def format_table(report: dict[str, Any]) -> str:
    """Return the report as Markdown tables."""
    package = report["package"]
    lines = ["| of the package | |", "|---|---|"]
    lines += [
        f"| {name.replace('_', ' ')} | {package[name]:,} |"
        for name in (
            "files",
            "files_with_code",
            "lines",
            "functions",
            "files_under_60_lines",
            "files_with_code_under_60_lines",
        )
    ]
    for name in ("lines_a_file", "lines_a_function", "files_a_folder"):
        numbers = " / ".join(f"{package[name][key]:g}" for key in ("median", "p90", "max"))
        lines.append(f"| {name.replace('_', ' ')}, median / p90 / max | {numbers} |")
    lines += ["", "| to be read for | files | lines |", "|---|---|---|"]
    lines += [f"| {way} | {each['files']} | {each['lines']:,} |" for way, each in package["closures"].items()]
    if report["traces"]:
        lines += ["", "| called by | functions | files | deepest stack |", "|---|---|---|---|"]
    for way, each in report["traces"].items():
        lines.append(f"| {way} | {each['functions']} | {each['files']} | {each['deepest_stack']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=REPOSITORY / "orbmm", help="folder of the package")
    parser.add_argument("--trace", action="append", choices=[*TRACES, "all"], default=[], help="a way to walk, too")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--walk", choices=TRACES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.walk:
        report: dict[str, Any] = walk(options.walk)
    else:
        ways = TRACES if "all" in options.trace else options.trace
        report = {"package": measure(options.package.resolve()), "traces": {way: trace(way) for way in ways}}
        print(format_table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
