"""A user's weights file is kept under its hash; embedded and registered files are found again by hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import find_record, list_models
from orbmm.checkpoints.store import find_by_hash, locate_weights, published_path, state_of_weights
from orbmm.errors import CheckpointError
from orbmm.files import hash_file, replace_file
from orbmm.settings.paths import cache_folder

SMALL = Architecture(latent_dim=16, mlp_hidden_dim=32, head_hidden_dim=16)
RECORD = replace(find_record("orb-v3-direct-20-omat"), architecture=SMALL)
NOBODY = 65534


@pytest.fixture
def weights(tmp_path, torch_file):
    """A weights file of the user's own."""
    path = tmp_path / "mine.ckpt"
    path.write_bytes(torch_file)
    return path


def test_a_given_file_is_copied_into_the_cache_under_its_hash(weights, cache, torch_file):
    found = locate_weights(RECORD, weights)
    assert found.sha256 == hashlib.sha256(torch_file).hexdigest()
    assert found.path == cache / "by-hash" / f"{found.sha256}.ckpt"
    assert found.path.read_bytes() == torch_file


def test_a_given_file_is_found_by_hash_after_it_is_gone(weights):
    found = locate_weights(RECORD, str(weights))
    weights.unlink()
    assert find_by_hash(found.sha256) == found.path


def test_registering_twice_keeps_one_copy_and_mends_a_damaged_one(weights, cache, torch_file):
    found = locate_weights(RECORD, weights)
    found.path.write_bytes(b"damaged")
    assert locate_weights(RECORD, weights) == found
    assert found.path.read_bytes() == torch_file
    assert [path.name for path in (cache / "by-hash").iterdir()] == [found.path.name]


def test_a_registered_file_that_was_altered_is_not_found(weights):
    found = locate_weights(RECORD, weights)
    found.path.write_bytes(b"altered")
    with pytest.raises(CheckpointError, match="no unaltered weights file with sha256 " + found.sha256):
        find_by_hash(found.sha256)


def test_an_unknown_hash_says_what_to_do(cache):
    with pytest.raises(CheckpointError, match="load the model once .*ORBMM_CACHE") as refusal:
        find_by_hash("f" * 64)
    assert str(cache) in str(refusal.value)


def test_downloaded_weights_are_found_by_hash(cache, torch_file):
    published_path(RECORD).parent.mkdir(parents=True)
    published_path(RECORD).write_bytes(torch_file)
    found = locate_weights(RECORD)
    assert find_by_hash(found.sha256) == published_path(RECORD)


@pytest.mark.parametrize("record", [record for record in list_models() if record.file], ids=lambda record: record.name)
def test_embedded_weights_lie_in_the_package_and_are_found_by_hash(record, cache):
    found = locate_weights(record)
    assert state_of_weights(record) == "embedded"
    assert found.sha256 == hash_file(found.path)
    assert find_by_hash(found.sha256) == found.path
    assert not cache.exists()


def test_missing_embedded_weights_mean_a_damaged_installation():
    with pytest.raises(CheckpointError, match="missing at .*nowhere.safetensors: .*install it again"):
        locate_weights(replace(find_record("orb-mini-direct-inf-xtb"), file="nowhere.safetensors"))


def test_embedded_weights_must_have_the_hash_of_the_catalogue():
    with pytest.raises(CheckpointError, match="expected " + "0" * 64):
        locate_weights(replace(find_record("orb-mini-direct-inf-xtb"), sha256="0" * 64))


def test_a_missing_file_is_named_with_the_folder_that_was_looked_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"weights=nowhere.ckpt does not exist .looked in {tmp_path}"):
        locate_weights(RECORD, "nowhere.ckpt")


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder: give the weights file itself"):
        locate_weights(RECORD, tmp_path)


def test_an_empty_file_is_no_weights_file(tmp_path):
    (tmp_path / "empty.ckpt").touch()
    with pytest.raises(CheckpointError, match="empty.ckpt is empty"):
        locate_weights(RECORD, tmp_path / "empty.ckpt")


def test_a_torn_or_foreign_file_is_refused_by_its_own_name_and_not_kept(weights, cache):
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="mine.ckpt is torn or no weights file"):
        locate_weights(RECORD, weights)
    weights.write_text("ATOM      1  N   ALA A   1")
    with pytest.raises(CheckpointError, match="mine.ckpt is torn or no weights file"):
        locate_weights(RECORD, weights)
    assert not cache.exists()


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("kind", ["bomb", "training checkpoint"])
def test_a_file_with_more_than_tensors_is_refused_by_its_own_name_and_not_kept(kind, tmp_path, cache):
    more = {"bomb": Bomb(tmp_path / "hole")} if kind == "bomb" else {"epoch": 3}
    torch.save({"weight": torch.ones(2), **more}, tmp_path / "mine.ckpt")
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/mine.ckpt (is no weights file|holds epoch)"):
        locate_weights(RECORD, tmp_path / "mine.ckpt")
    assert not (tmp_path / "hole").exists()
    assert not cache.exists()


def test_a_file_that_may_not_be_read_is_named():
    with tempfile.TemporaryDirectory() as folder, an_ordinary_user(Path(folder)):
        secret = Path(folder) / "mine.ckpt"
        secret.write_bytes(b"weights")
        secret.chmod(0)
        with pytest.raises(CheckpointError, match="may not be read"):
            locate_weights(RECORD, secret)


@contextmanager
def an_ordinary_user(folder):
    """Root may read everything: as root, be somebody else for the block, who owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_cache_is_the_users_own_where_the_variable_is_not_set(monkeypatch):
    from platformdirs import user_cache_dir

    monkeypatch.delenv("ORBMM_CACHE")
    assert str(cache_folder()) == user_cache_dir("orbmm")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), replace_file(target) as partial:
        partial.write_text("half of the n")
        raise RuntimeError("power cut")
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".file*")) == []
    with replace_file(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"
