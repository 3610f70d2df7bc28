"""Weights arrive whole, once, and are what they were when first seen; a real server on this machine serves them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest

from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.store import find_by_hash, locate_weights, published_path, state_of_weights
from orbmm.errors import CheckpointError


@pytest.fixture
def record(server, small_record):
    """A published model whose weights lie on the server of this test."""
    return replace(small_record, url=server.url)


def files_in(folder):
    return {path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


def test_weights_are_downloaded_into_the_cache(server, record, cache):
    found = locate_weights(record)
    assert found.path == cache / "weights" / "orb-test.ckpt"
    assert found.path.read_bytes() == server.content
    assert found.sha256 == hashlib.sha256(server.content).hexdigest()


def test_the_second_use_asks_no_server(server, record):
    first = locate_weights(record)
    server.status = 500
    assert locate_weights(record) == first
    assert len(server.asked) == 1


def test_the_checksum_of_the_first_download_is_noted_in_a_form_that_sha256sum_reads(record, cache):
    found = locate_weights(record)
    note = cache / "weights" / "orb-test.ckpt.sha256"
    assert note.read_text() == f"{found.sha256}  orb-test.ckpt\n"


def test_an_altered_file_is_refused_with_both_hashes(record):
    found = locate_weights(record)
    altered = found.path.read_bytes()[:-1] + b"?"
    found.path.write_bytes(altered)
    with pytest.raises(CheckpointError, match="was altered .*delete it") as refusal:
        locate_weights(record)
    assert found.sha256 in str(refusal.value) and hashlib.sha256(altered).hexdigest() in str(refusal.value)


def test_a_deleted_file_is_downloaded_again_and_must_be_the_same(server, record):
    first = locate_weights(record)
    first.path.unlink()
    assert locate_weights(record) == first
    first.path.unlink()
    server.content += b"\0"  # still opened by torch, but another file
    with pytest.raises(CheckpointError, match="serves another file than before .*expected " + first.sha256):
        locate_weights(record)
    assert not first.path.exists()


def test_a_checksum_in_the_catalogue_is_checked_at_the_first_download(record, cache):
    with pytest.raises(CheckpointError, match="expected " + "0" * 64):
        locate_weights(replace(record, sha256="0" * 64))
    assert files_in(cache) == set()


def test_a_download_that_breaks_off_leaves_nothing_and_says_so(server, record, cache):
    server.announced = len(server.content) + 1000
    with pytest.raises(CheckpointError, match="the connection broke off halfway"):
        locate_weights(record)
    assert files_in(cache) == set()


def test_half_a_file_under_its_own_length_is_refused(server, record, cache):
    server.content = server.content[: len(server.content) // 2]
    with pytest.raises(CheckpointError, match="something other than a whole weights file"):
        locate_weights(record)
    assert files_in(cache) == set()


def test_the_page_of_a_login_is_no_weights_file(server, record, cache):
    server.content = b"<!DOCTYPE html><title>Log in to the network</title>"
    with pytest.raises(CheckpointError, match="perhaps the page of a login or proxy"):
        locate_weights(record)
    assert files_in(cache) == set()


def test_a_file_that_the_server_does_not_have_is_named_with_its_status(server, record):
    server.status = 404
    with pytest.raises(CheckpointError, match="the server answered 404 Not Found"):
        locate_weights(record)


def test_without_a_network_the_error_says_which_file_to_put_where(record, cache):
    unreachable = replace(record, url="http://127.0.0.1:1/orb-test.ckpt")
    with pytest.raises(CheckpointError) as refusal:
        locate_weights(unreachable)
    sentence = str(refusal.value)
    assert "http://127.0.0.1:1/orb-test.ckpt cannot be downloaded (the connection to 127.0.0.1:1 failed)" in sentence
    assert str(cache / "weights" / "orb-test.ckpt") in sentence and "weights=" in sentence


def test_a_file_put_by_hand_where_the_error_says_is_used(server, record):
    published_path(record).parent.mkdir(parents=True)
    published_path(record).write_bytes(server.content)
    assert locate_weights(record).path == published_path(record)
    assert server.asked == []


def test_off_a_terminal_nothing_is_drawn(server, record, capsys):
    locate_weights(record)
    server.status = 404
    with pytest.raises(CheckpointError):
        locate_weights(replace(record, url=server.url.replace("orb-test", "orb-none")))
    assert capsys.readouterr() == ("", "")


def test_two_processes_at_once_download_once(server, record, cache):
    server.seconds = 0.5
    code = (
        "import sys; from dataclasses import replace; from orbmm.checkpoints.architecture import Architecture; "
        "from orbmm.checkpoints.catalog import find_record; from orbmm.checkpoints.store import locate_weights; "
        "size = Architecture(latent_dim=16, mlp_hidden_dim=32, head_hidden_dim=16); "
        "record = replace(find_record('orb-v3-direct-20-omat'), architecture=size, url=sys.argv[1]); "
        "locate_weights(record)"
    )
    target = cache / "weights" / "orb-test.ckpt"
    command = [sys.executable, "-c", code, server.url]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert len(server.asked) == 1
    assert target.read_bytes() == server.content


def test_the_cache_moves_with_its_variable(server, record, tmp_path, monkeypatch):
    locate_weights(record)
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "elsewhere"))
    assert state_of_weights(record) == "to download"
    assert locate_weights(record).path == tmp_path / "elsewhere" / "weights" / "orb-test.ckpt"
    assert len(server.asked) == 2
    assert state_of_weights(record) == "cached"


def test_a_cache_that_cannot_be_made_is_named(record, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="the cache folder .*file cannot be written .*set ORBMM_CACHE"):
        locate_weights(record)


@pytest.mark.network
@pytest.mark.weights
def test_the_true_weights_are_downloaded_and_found_again_by_hash():
    found = locate_weights(find_record("orb-v3-direct-20-omat"))
    assert found.path.stat().st_size > 50_000_000
    assert find_by_hash(found.sha256) == found.path
