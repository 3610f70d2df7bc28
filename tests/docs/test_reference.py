"""The generated pages show the code as it is now."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from orbmm.settings import RunSettings, Settings
from orbmm.settings.field import Limits, setting


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "write_reference", repository / "scripts" / "checks" / "write_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["write_reference"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["settings.md", "training-settings.md", "ensemble-settings.md", "command-line.md"])
def test_the_committed_page_is_current(page: str, script: ModuleType, repository: Path) -> None:
    committed = (repository / "docs" / page).read_text(encoding="utf-8")
    assert committed == script.compose_pages()[page], "run python scripts/checks/write_reference.py"


def test_a_changed_default_is_noticed(script: ModuleType, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = next(field for field in dataclasses.fields(RunSettings) if field.name == "timestep_fs")
    monkeypatch.setattr(field, "default", 0.25)
    assert script.compose_settings_page() != (repository / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_key_of_every_table_is_on_the_page(script: ModuleType) -> None:
    page = script.compose_settings_page()
    tables = dict(script.list_tables())
    assert len(tables) == len(dataclasses.fields(Settings)) + 2  # and [[preparation.ligand]], [[stage.restraint]]
    for title, table in tables.items():
        section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
        rows = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
        assert rows == [field.name for field in dataclasses.fields(table)]


def test_a_unit_leaves_the_sentence_and_a_table_name_stays(script: ModuleType) -> None:
    @dataclasses.dataclass
    class Table:
        length_ps: float = setting("Length; absent: that of [run] [ps].", 2.0, Limits(above=0, at_most=9))

    (field,) = dataclasses.fields(Table)
    field.type = float
    Table.__annotations__["length_ps"] = float
    expected = ("`length_ps`", "Length; absent: that of [run].", "`2.0`", "ps", "above 0, at most 9")
    assert script.format_key(Table, field) == expected


def test_an_angle_bracket_in_a_sentence_is_shown(script: ModuleType) -> None:
    assert script.format_table(("a",), [("runs/<name> | x",)]).splitlines()[-1] == r"| runs/&lt;name> \| x |"
