"""The pages are written in short sentences and in the field's own words; docstrings start with a verb."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MOST_WORDS = 30
COINAGES = re.compile(
    r"\b(slopes?|ways? back|pull(?:s|ed)? back|places|doubts|foresight|settle[sd]?|settling|mend(?:s|ed|ing)?"
    r"|(?:leave|left|leaves) (?:it |them )?away|laid over|ever after|what nobody|nobody|told|tells|stands|lacks? in"
    r"|an own|main job)\b",
    re.IGNORECASE,
)
GENERATED = {"settings.md", "ensemble-settings.md", "command-line.md"}  # they repeat sentences of the package
NOUN_CLAUSE = re.compile(r"(What|Whether|How|Where|Which|The same)\b")


def list_pages(repository: Path) -> list[Path]:
    pages = [repository / "README.md", *sorted((repository / "docs").rglob("*.md")), *repository.glob("systems/*/*.md")]
    return [page for page in pages if page.name not in GENERATED]


def read_prose(text: str) -> list[str]:
    """Return the paragraphs and list entries of a page, without code, tables, headings, formulas and pictures."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^(\||#|!\[|:::| {4}\S|<).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*([-*]|\d+\.|!!!.*) ", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def list_sentences(text: str) -> Iterator[str]:
    for paragraph in read_prose(text):
        yield from re.split(r"(?<=[.!?])[*_)\"]*\s+(?=[A-Z\[*`(\"c0-9])", paragraph)


def count_words(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def list_long_sentences(text: str) -> list[str]:
    return [sentence for sentence in list_sentences(text) if count_words(sentence) > MOST_WORDS]


def list_coinages(text: str) -> list[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [
        match[0]
        for match in COINAGES.finditer(
            re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        )
    ]


def count_noun_clauses(package: Path) -> Counter[str]:
    """Return the number of docstrings in each room of the package that start with a noun clause."""
    counts: Counter[str] = Counter()
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                counts[room] += bool(NOUN_CLAUSE.match(ast.get_docstring(node) or ""))
    return +counts


def test_no_sentence_is_longer_than_thirty_words(repository: Path) -> None:
    found = {
        page.relative_to(repository).as_posix(): list_long_sentences(page.read_text("utf-8"))
        for page in list_pages(repository)
    }
    assert {page: sentences for page, sentences in found.items() if sentences} == {}


def test_a_long_sentence_is_noticed_and_tables_and_code_are_not() -> None:
    long = " ".join(["Word"] * (MOST_WORDS + 1))
    assert list_long_sentences(f"Short one. {long}. Short.\n") == [f"{long}."]
    assert list_long_sentences(f"- {long}\n- short\n") == [long]
    assert list_long_sentences(f"| {long} |\n\n```bash\n{long}\n```\n\n`{long}` is one word.\n") == []


def test_no_page_uses_a_coinage(repository: Path) -> None:
    found = {
        page.relative_to(repository).as_posix(): list_coinages(page.read_text("utf-8"))
        for page in list_pages(repository)
    }
    assert {page: words for page, words in found.items() if words} == {}


def test_no_notebook_uses_a_coinage_or_a_long_sentence(repository: Path) -> None:
    notebooks = sorted((repository / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        prose = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        assert (path.name, list_coinages(prose), list_long_sentences(prose)) == (path.name, [], [])


def test_a_coinage_is_noticed() -> None:
    assert list_coinages("The way back is told. `make_molecules_whole` is a name.") == ["way back", "told"]


def test_no_docstring_starts_with_a_noun_clause(repository: Path) -> None:
    assert count_noun_clauses(repository / "orbmm") == {}


def test_a_docstring_that_starts_with_a_noun_clause_is_counted(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "file.py").write_text('"""Whether it works."""\n\n\ndef f():\n    """Return it."""\n')
    assert count_noun_clauses(tmp_path) == {"room": 1}
