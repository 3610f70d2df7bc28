"""Entries of the Protein Data Bank arrive whole, once, and stay what they were; a server on this machine gives them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oracles.web_server import WebServer, serve

from orbmm.errors import PreparationError
from orbmm.preparation.reading.source import read_source

ATOM = "ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00  0.00           N"
ENTRY = f"HEADER    AN ENTRY\n{ATOM}\nEND\n".encode()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded structures of this test, not made yet."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "structures"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A data bank of one entry."""
    with serve(ENTRY, "{}.pdb") as says:
        monkeypatch.setattr("orbmm.preparation.reading.databank._ENTRY_URL", says.url)
        yield says


def test_an_entry_is_downloaded_once(server: WebServer, cache: Path) -> None:
    file = read_source("pdb:2cba")
    assert file.text.encode() == server.content
    assert (file.name, file.kind, file.sha256) == ("2cba", "pdb", hashlib.sha256(server.content).hexdigest())
    assert read_source("PDB:2CBA") == file
    assert server.asked == ["/2CBA.pdb"]
    assert (cache / "2cba.pdb.sha256").read_text() == f"{file.sha256}  2cba.pdb\n"


def test_an_altered_entry_is_refused_with_both_hashes(server: WebServer, cache: Path) -> None:
    first = read_source("pdb:2CBA").sha256
    (cache / "2cba.pdb").write_bytes(b"END\n")
    with pytest.raises(PreparationError, match="not what it was when first seen .*delete it") as refusal:
        read_source("pdb:2CBA")
    assert first in str(refusal.value) and hashlib.sha256(b"END\n").hexdigest() in str(refusal.value)


def test_a_deleted_entry_is_downloaded_again_and_must_be_the_same(server: WebServer, cache: Path) -> None:
    first = read_source("pdb:2CBA")
    (cache / "2cba.pdb").unlink()
    assert read_source("pdb:2CBA") == first
    (cache / "2cba.pdb").unlink()
    server.content = ENTRY.replace(b"AN ENTRY", b"ITS SECOND VERSION")
    with pytest.raises(PreparationError, match=r"expected " + first.sha256):
        read_source("pdb:2CBA")


@pytest.mark.parametrize("fault", [{"status": 404}, {"announced": 1000}], ids=["no such entry", "broken off"])
def test_a_download_that_fails_leaves_nothing(fault: dict[str, int], server: WebServer, cache: Path) -> None:
    for name, value in fault.items():
        setattr(server, name, value)
    with pytest.raises(PreparationError, match="cannot be downloaded"):
        read_source("pdb:2CBA")
    assert not list(cache.rglob("*.pdb"))


PAGE = b"<!DOCTYPE html><title>Log in to the network</title>"
NO_STRUCTURES = [
    (PAGE, "holds no atoms"),
    (b"", "holds no atoms"),
    (b"HEADER    NOTHING\nEND\n", "holds no atoms"),
    (b"ATOM  \xff\xfe\nEND\n", "is no PDB file"),
    (ENTRY.replace(b"11.104", b"banana"), "is no PDB file"),
    (ENTRY.replace(b"11.104", b"   nan"), "is no PDB file"),
    (ATOM[:40].encode() + b"\nEND\n", "is no PDB file"),
]


@pytest.mark.parametrize(("content", "reason"), [*NO_STRUCTURES, (ENTRY[:-4], "has no END record")])
def test_an_answer_that_is_no_structure_is_not_kept_and_the_right_one_then_comes(
    content: bytes, reason: str, server: WebServer, cache: Path
) -> None:
    server.content, server.etag = content, '"first"'
    with pytest.raises(PreparationError, match=f"was not kept, because it {reason}.* .{len(content)} bytes") as refusal:
        read_source("pdb:2CBA")
    assert "\n" not in str(refusal.value)
    assert {path.name for path in cache.iterdir()} <= {".2cba.pdb.lock"}
    server.content, server.etag = ENTRY, '"second"'
    assert read_source("pdb:2CBA").text.encode() == ENTRY
    assert server.ranges == [None, None]


@pytest.mark.parametrize(("content", "reason"), NO_STRUCTURES)
def test_a_file_put_by_hand_that_is_no_structure_stays_and_is_not_noted(
    content: bytes, reason: str, server: WebServer, cache: Path
) -> None:
    cache.mkdir()
    (cache / "2cba.pdb").write_bytes(content)
    with pytest.raises(PreparationError, match=f"{cache}/2cba.pdb {reason}: delete it, and the entry will be"):
        read_source("pdb:2CBA")
    assert [path.name for path in cache.iterdir()] == ["2cba.pdb"] and server.asked == []


def test_an_entry_beyond_all_size_is_refused_before_it_comes(server: WebServer, cache: Path) -> None:
    server.announced = 1 << 40
    with pytest.raises(PreparationError, match="announces 1,099,511,627,776 bytes, and such a file has at most"):
        read_source("pdb:2CBA")
    assert [path.name for path in cache.iterdir()] in ([], [".2cba.pdb.lock"])


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, server: WebServer, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "file"))
    with pytest.raises(PreparationError, match="file/structures/2cba.pdb cannot be kept there .*set ORBMM_CACHE"):
        read_source("pdb:2CBA")


def test_an_entry_put_by_hand_where_the_error_says_is_used_and_noted(cache: Path, server: WebServer) -> None:
    cache.mkdir()
    (cache / "2cba.pdb").write_text(ATOM)
    assert read_source("pdb:2CBA").text == ATOM
    assert server.asked == [] and (cache / "2cba.pdb.sha256").exists()


def test_without_a_network_the_error_says_where_to_put_the_entry(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "orbmm.preparation.reading.databank._ENTRY_URL", "http://127.0.0.1:9/{}.pdb"
    )  # nobody listens there
    with pytest.raises(PreparationError) as refusal:
        read_source("pdb:2CBA")
    sentence = str(refusal.value)
    assert "http://127.0.0.1:9/2CBA.pdb cannot be downloaded" in sentence and str(cache / "2cba.pdb") in sentence
    assert "\n" not in sentence and not list(cache.rglob("*.pdb"))


@pytest.mark.network
def test_an_entry_is_downloaded_from_the_protein_data_bank() -> None:
    file = read_source("pdb:1UAO")
    assert file.text.startswith("HEADER") and file.origin == "https://files.rcsb.org/download/1UAO.pdb"


def test_without_a_network_the_error_is_the_one_line_on_stderr(tmp_path: Path) -> None:
    command = "from orbmm.cli.main import main; main()"
    environment = os.environ | {"ORBMM_CACHE": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    result = subprocess.run(
        [sys.executable, "-c", command, "prepare", "pdb:1UAO"], cwd=tmp_path, env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.startswith("error: https://files.rcsb.org/download/1UAO.pdb cannot be downloaded")
    assert result.stderr.count("\n") == 1
