"""The measures of the source are those of a small package that can be counted by hand."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path("scripts") / "checks" / "measure_source.py"
FILES = {
    "__init__.py": "",
    "units.py": "def f():\n    '''Say.\n\n    More.\n    '''\n    return 1\n",
    "errors.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.cli import main\n",
    "cli/__init__.py": "",
    "cli/main.py": "def main():\n    from pack.cli import run\n    run.run()\n",
    "cli/run.py": "import os\nfrom pack.units import f\nimport pack.errors\n\n\ndef run():\n    return f()\n",
}


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_source", repository / SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pack"


def test_a_small_package_is_counted_as_by_hand(script: ModuleType, package: Path) -> None:
    found = script.measure(package)
    assert (found["files"], found["lines"], found["functions"]) == (6, 19, 3)
    assert (found["files_with_code"], found["files_with_code_under_60_lines"]) == (4, 4)
    assert found["lines_a_function"] == {
        "median": 3.0,
        "p90": 3,
        "max": 3,
    }  # the docstring's three further lines left out
    assert found["lines_a_file"] == {"median": 3.0, "p90": 7, "max": 7}
    assert found["files_a_folder"]["max"] == 2


def test_a_file_of_its_docstring_alone_has_no_code(script: ModuleType) -> None:
    assert not script.has_code('"""Rooms."""\n')
    assert script.has_code('"""Rooms."""\n\nfrom os import path\n')


def test_a_closure_follows_imports_inside_functions_but_none_for_type_checking(
    script: ModuleType, package: Path
) -> None:
    names = {path.relative_to(package).as_posix() for path in script.find_closure(package, "pack.cli.run")}
    assert names == {"__init__.py", "cli/__init__.py", "cli/run.py", "units.py", "errors.py"}
    assert script.find_closure(package, "pack.cli.main") == {package / name for name in FILES}
    assert script.find_closure(package, "pack.no.such") == set()
    assert script.measure(package)["closures"] == {"pack.cli.run": {"files": 5, "lines": 16}}


def test_a_trace_counts_functions_once_in_every_thread_and_no_class_bodies(script: ModuleType, package: Path) -> None:
    source = (
        "def f():\n    class A:\n        pass\n    return [g() for _ in range(3)]\n"
        "\ndef g():\n    return 1\n\ndef h():\n    pass\n"
    )
    inside, outside = {}, {}
    exec(compile(source, str(package / "traced.py"), "exec"), inside)  # noqa: S102
    exec(compile(source, str(package.parent / "other.py"), "exec"), outside)  # noqa: S102
    trace = script.Trace(package)
    trace.start()
    inside["f"]()
    outside["h"]()
    thread = threading.Thread(target=inside["h"])
    thread.start()
    thread.join()
    trace.stop()
    inside["g"]()
    assert {name for _, name, _ in trace.called} == {"f", "g", "h"}
    assert trace.describe()["functions"] == 3 and trace.describe()["files"] == 1
    assert trace.deepest >= 2


def test_the_whole_package_is_written_as_a_table_and_as_json(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, repository / SCRIPT, "--json", tmp_path / "source.json"]
    printed = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    report = json.loads((tmp_path / "source.json").read_text())
    files = len(list((repository / "orbmm").rglob("*.py")))
    assert report["package"]["files"] == files and f"| files | {files} |" in printed
    assert len(report["package"]["closures"]) == 5 and report["traces"] == {}


def test_what_is_kept_holds_every_way_and_nothing_of_a_machine(repository: Path) -> None:
    kept = json.loads((repository / "scripts" / "benchmarks" / "results" / "source-before.json").read_text())
    assert kept.keys() == {"package", "traces"}
    assert kept["traces"].keys() == {"run", "prepare", "analyze", "createSystem"}
    assert len(kept["package"]["closures"]) == 5


def test_a_way_is_walked_in_a_process_of_its_own(script: ModuleType) -> None:
    before = sys.getprofile()
    found = script.trace("createSystem")
    assert found["functions"] > found["files"] > 10 and found["deepest_stack"] > 5
    assert sys.getprofile() is before
