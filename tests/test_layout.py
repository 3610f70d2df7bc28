"""The source keeps to the house's measures: short files, short functions, no debugging left, nothing of one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FILE_LINES, FUNCTION_LINES, ARGUMENTS = 350, 70, 6
VAGUE = {"utils", "helpers", "common", "base", "misc"}
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|farm|root|home)/[\w.-]+")
TEXT = {".py", ".md", ".toml", ".ipynb", ".sh", ".csv", ".json", ""}


def list_complaints(source: str, *, may_print: bool = False) -> Iterator[str]:
    """What the house would say about a Python file of the package."""
    if source.count("\n") > FILE_LINES:
        yield f"longer than {FILE_LINES} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            yield from _list_function_complaints(node)
        elif isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"
        elif isinstance(node, ast.ExceptHandler) and getattr(node.type, "id", None) in (None, "Exception"):
            if not isinstance(node.type, ast.Tuple | ast.Attribute):
                yield f"line {node.lineno}: catches everything"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print" and not may_print:
            yield f"line {node.lineno}: print"


def _list_function_complaints(node: ast.FunctionDef) -> Iterator[str]:
    length = node.end_lineno - node.lineno + 1 - (ast.get_docstring(node, clean=False) or "").count("\n")
    arguments = [each.arg for each in node.args.posonlyargs + node.args.args + node.args.kwonlyargs]
    if length > FUNCTION_LINES:
        yield f"{node.name} has {length} lines"
    if len([name for name in arguments if name != "self"]) > ARGUMENTS and not (_is_command(node) or _is_kernel(node)):
        yield f"{node.name} has {len(arguments)} arguments"


def _is_command(node: ast.FunctionDef) -> bool:
    """Typer commands take their options as arguments: all of them are annotated with an Option or Argument."""
    return all("typer." in ast.unparse(each.annotation or ast.Constant(0)) for each in node.args.args)


def _is_kernel(node: ast.FunctionDef) -> bool:
    """A kernel of a GPU takes bare pointers, strides and sizes."""
    return any(ast.unparse(each) == "triton.jit" for each in node.decorator_list)


def test_the_package_keeps_to_the_house(repository: Path) -> None:
    complaints = [
        f"{path.relative_to(repository)}: {complaint}"
        for path in sorted((repository / "orbmm").rglob("*.py"))
        for complaint in list_complaints(path.read_text(encoding="utf-8"))
    ]
    assert complaints == []


def test_no_file_has_a_vague_name(repository: Path) -> None:
    assert [path for path in (repository / "orbmm").rglob("*") if path.stem in VAGUE] == []


def test_a_bad_file_would_be_seen() -> None:
    lines = "\n".join("    pass" for _ in range(FUNCTION_LINES))
    source = f"def f(a, b, c, d, e, g, h):\n    print(1)\n    assert a\n{lines}\n"
    source += "try:\n    pass\nexcept Exception:\n    pass\n"
    assert len(list(list_complaints(source))) == 5


def test_no_path_of_one_machine_is_in_the_repository(repository: Path) -> None:
    folders = ("orbmm", "tests", "docs", "scripts", "systems", "notebooks", ".ci")
    files = [path for folder in folders for path in (repository / folder).rglob("*") if path.is_file()]
    files += [repository / "README.md", repository / "pyproject.toml", repository / "CHANGELOG.md"]
    read = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in TEXT}
    assert {str(path): MACHINE_PATH.search(text)[0] for path, text in read.items() if MACHINE_PATH.search(text)} == {}


SOMEONE = "/{}/someone/file.py"


def test_a_path_of_one_machine_would_be_seen() -> None:
    assert MACHINE_PATH.search("see " + SOMEONE.format("home"))
