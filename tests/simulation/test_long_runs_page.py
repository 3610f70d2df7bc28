"""The stages in docs/long-runs.md are settings that can be read."""

from __future__ import annotations

import re
from pathlib import Path

from orbmm.settings import Settings, read_settings


def read_blocks(repository: Path, folder: Path) -> list[Settings]:
    """Return the settings of every block of TOML on the page."""
    text = (repository / "docs" / "long-runs.md").read_text(encoding="utf-8")
    path, read = folder / "system.toml", []
    for block in re.findall(r"^```toml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        path.write_text(f'[system]\nname = "page"\n{block}')
        read.append(read_settings(path))
    return read


def test_the_stages_on_the_page_are_read(repository: Path, tmp_path: Path) -> None:
    settings, split, warmed = read_blocks(repository, tmp_path)
    assert [stage.kind for stage in settings.stages] == ["minimise", "heat", "equilibrate", "produce"]
    assert [restraint.kind for stage in settings.stage for restraint in stage.restraint] == [
        "position",
        "distance",
        "cap",
    ]
    assert settings.production.steps == 1_400_000
    assert (split.production.timestep_fs, split.production.inner_steps) == (1.0, 2)
    assert [stage.kind for stage in warmed.stages] == ["minimise", "equilibrate", "produce"]
    assert (warmed.stages[1].friction_per_ps, warmed.stages[1].steps) == (50.0, 200)
