"""Every page is in the navigation of the site, and every link between pages leads to a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def list_broken_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [target for target in LINK.findall(text) if not (page.parent / target).exists()]


def test_every_page_is_in_the_navigation(repository: Path) -> None:
    navigation = (repository / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = set(re.findall(r"[\w/-]+\.(?:md|ipynb)", navigation))
    pages = {path.relative_to(repository / "docs").as_posix() for path in (repository / "docs").rglob("*.md")}
    pages |= {f"notebooks/{path.name}" for path in (repository / "notebooks").glob("*.ipynb")}
    assert listed == pages


def test_no_link_between_pages_is_broken(repository: Path) -> None:
    pages = [repository / "README.md", *(repository / "docs").rglob("*.md"), *repository.glob("systems/*/README.md")]
    broken = {page.relative_to(repository).as_posix(): list_broken_links(page) for page in pages}
    assert {page: links for page, links in broken.items() if links} == {}


@pytest.mark.parametrize(("target", "broken"), [("other.md", []), ("missing.md", ["missing.md"])])
def test_a_broken_link_is_noticed(target: str, broken: list[str], tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other\n")
    (tmp_path / "page.md").write_text(f"See [this]({target}#part) and [that](https://example.org).\n")
    assert list_broken_links(tmp_path / "page.md") == broken


def test_the_site_loads_nothing_from_the_network(repository: Path) -> None:
    settings = (repository / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.search(r"^  font: false\b", settings, flags=re.MULTILINE)
    assert not re.search(r"extra_(javascript|css):\s*\n\s*- *http", settings)
