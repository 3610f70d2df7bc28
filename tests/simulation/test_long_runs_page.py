"""The stages in docs/long-runs.md are settings that can be read."""

from __future__ import annotations

import re
from pathlib import Path

from orbmm.settings import read_settings


def test_the_stages_on_the_page_are_read(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "long-runs.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "system.toml"
    path.write_text(f'[system]\nname = "page"\n{block}')
    settings = read_settings(path)
    assert [stage.kind for stage in settings.stages] == ["minimise", "heat", "equilibrate", "produce"]
    assert [restraint.kind for stage in settings.stage for restraint in stage.restraint] == [
        "position",
        "distance",
        "cap",
    ]
    assert settings.production.steps == 1_400_000
