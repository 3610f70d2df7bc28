"""Code that torch keeps on disk is read from a folder that nobody else can write, or not at all."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orbmm.errors import ModelError
from orbmm.model.compile_cache import CACHE_VARIABLE, use_private_cache
from orbmm.model.compiled import find_compiler, has_python_headers

NOBODY = 65534


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of orbmm, not made yet; torch's variable is as before when the test ends."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(CACHE_VARIABLE, "")
    return tmp_path / "cache"


def read_mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_folder_is_made_for_its_owner_alone(cache: Path) -> None:
    assert use_private_cache() == cache / "compiled" == Path(os.environ[CACHE_VARIABLE])
    assert read_mode(cache / "compiled") == 0o700
    assert use_private_cache() == cache / "compiled", "the second network takes the same folder"


def test_a_folder_that_others_can_read_is_closed_to_them(cache: Path) -> None:
    (cache / "compiled").mkdir(parents=True, mode=0o755)
    (cache / "compiled" / "kept").touch()
    use_private_cache()
    assert read_mode(cache / "compiled") == 0o700
    assert (cache / "compiled" / "kept").exists()


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_others_could_write_is_refused(mode: int, cache: Path) -> None:
    (cache / "compiled").mkdir(parents=True)
    (cache / "compiled").chmod(mode)
    with pytest.raises(ModelError, match="can be written by other users"):
        use_private_cache()
    assert os.environ[CACHE_VARIABLE] == ""


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_refused(there: bool, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    (cache / "compiled").symlink_to(tmp_path / "elsewhere")
    if there:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
    with pytest.raises(ModelError, match="is a link"):
        use_private_cache()
    assert (tmp_path / "elsewhere").exists() is there


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(cache: Path) -> None:
    (cache / "compiled").mkdir(parents=True, mode=0o700)
    os.chown(cache / "compiled", NOBODY, NOBODY)
    with pytest.raises(ModelError, match=f"belongs to another user \\({NOBODY}\\).*leave compile out"):
        use_private_cache()


def test_a_folder_of_the_users_choice_is_kept_and_checked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "mine"
    monkeypatch.setenv(CACHE_VARIABLE, str(chosen))
    assert use_private_cache() == chosen and read_mode(chosen) == 0o700
    chosen.chmod(0o777)
    with pytest.raises(ModelError, match=CACHE_VARIABLE):
        use_private_cache()
    assert not cache.exists()


@pytest.mark.parametrize(("mode", "taken"), [(0o1777, True), (0o777, False)])
def test_a_place_that_everybody_can_write_needs_the_sticky_bit(
    mode: int, taken: bool, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public").chmod(mode)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "public" / "mine"))
    if taken:
        assert use_private_cache() == tmp_path / "public" / "mine"
        return
    with pytest.raises(ModelError, match="which everybody can write"):
        use_private_cache()


def test_the_default_that_torch_has_set_itself_is_replaced(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "torchinductor_somebody"))  # another library compiled before
    assert use_private_cache() == cache / "compiled"


def test_where_nothing_can_be_kept_the_folder_is_the_process_s_own(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = use_private_cache()
    assert folder.parent == tmp_path and read_mode(folder) == 0o700


class Planted:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("opened",)


SCRIPT = """
import sys
import torch
from orbmm.model.compile_cache import PRIVATE_OPTIONS, use_private_cache
private = sys.argv[1] == "private"
if private:
    use_private_cache()
work = torch.compile(lambda x: torch.sin(x) * 2.0, options=PRIVATE_OPTIONS if private else None)
print(float(work(torch.full((64,), 0.5)).sum()))
"""


def compile_in_a_child(way: str, folder: Path) -> str:
    """Compile a small function the way networks are (private), or as torch does by itself."""
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "ORBMM_CACHE": str(folder / "cache")}
    environment.pop(CACHE_VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, way], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def plant(shared: Path) -> dict[Path, float]:
    """Put a pickle that leaves a mark in the place of every entry; returns when each file was last read or changed."""
    for path in (one for name in ("fxgraph", "aotautograd") for one in (shared / name).rglob("*") if one.is_file()):
        path.write_bytes(pickle.dumps(Planted()))
    return list_times(shared)


def list_times(shared: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in sorted(shared.rglob("*"))}


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None or not has_python_headers(), reason="torch cannot compile on this machine")
def test_what_somebody_planted_in_the_shared_temporary_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    right = compile_in_a_child("by itself", tmp_path)
    (shared,) = (tmp_path / "tmp").glob("torchinductor_*")
    before = plant(shared)
    assert any("aotautograd" in path.parts for path in before), "torch keeps its pickles where this test plants its own"
    assert any("precompiled_headers" in path.parts for path in before)
    assert compile_in_a_child("private", tmp_path) == right
    assert not (tmp_path / "opened").exists()
    assert list_times(shared) == before
    assert (tmp_path / "cache" / "compiled" / "aotautograd").is_dir()
    compile_in_a_child("by itself", tmp_path)
    assert (tmp_path / "opened").exists(), "what was planted would have run"
