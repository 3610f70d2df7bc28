"""The long search runs only where it is asked for by its marker: pytest -m fuzz tests/fuzz."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fuzz.places import CHILD


@pytest.fixture(scope="session", autouse=True)
def _end_child() -> Iterator[None]:
    yield
    CHILD.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "fuzz" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("fuzz")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
