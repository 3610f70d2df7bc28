"""A download that broke off goes on where it ended, and only with the file that it began with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.web_server import WebServer, repeat_for_ever, serve, write_raw

from orbmm.download.once import download_once
from orbmm.download.transfer import Limits
from orbmm.errors import CheckpointError, DownloadError

CONTENT = bytes(range(256)) * 400
OTHER = bytes(reversed(range(256))) * 400
ONE = Limits(1 << 20, 2.0, 5.0, 1000, 8.0, attempts=1, pause_seconds=0.01)
THREE = replace(ONE, attempts=3)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server that can recognise its file."""
    monkeypatch.setenv("NO_PROXY", "*")
    with serve(CONTENT, "file.bin") as says:
        says.etag = '"v1"'
        yield says


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


@pytest.fixture
def partial(target: Path) -> Path:
    return target.with_name(".file.bin.partial")


def accept(path: Path) -> None:
    """Refuse nothing."""


def list_files(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")}


def break_off(server: WebServer, target: Path, after: int = 50_000) -> None:
    """Download the beginning of the file."""
    server.breaks = [after]
    with pytest.raises(DownloadError, match="the connection broke off halfway"):
        download_once(server.url, target, accept, ONE)
    assert not target.exists()


def test_a_broken_download_goes_on_within_one_call(server: WebServer, target: Path) -> None:
    server.breaks = [30_000, 40_000]
    download_once(server.url, target, accept, THREE)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-", "bytes=70000-"]
    assert list_files(target) == {"file.bin"}


def test_attempts_have_an_end_and_the_next_call_goes_on(server: WebServer, target: Path, partial: Path) -> None:
    server.breaks = [10_000, 10_000, 10_000]
    with pytest.raises(DownloadError, match="the connection broke off halfway"):
        download_once(server.url, target, accept, THREE)
    assert partial.read_bytes() == CONTENT[:30_000]
    download_once(server.url, target, accept, THREE)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=30000-"


def test_a_time_of_change_serves_where_there_is_no_etag(server: WebServer, target: Path) -> None:
    server.etag, server.modified = "", "Wed, 21 Oct 2015 07:28:00 GMT"
    break_off(server, target)
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-"]


@pytest.mark.parametrize("etag", ["", 'W/"v1"', "unquoted"])
def test_without_a_way_to_recognise_the_file_nothing_is_kept(etag: str, server: WebServer, target: Path) -> None:
    server.etag = etag
    break_off(server, target)
    assert list_files(target) == set()
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT and server.ranges == [None, None]


def test_another_file_on_the_server_is_not_glued_to_the_old_beginning(server: WebServer, target: Path) -> None:
    break_off(server, target)
    server.content, server.etag = OTHER, '"v2"'
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == OTHER


PART = b"HTTP/1.1 206 Partial Content\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n",
        PART + b'ETag: "v2"\r\nContent-Range: bytes 50000-102399/102400\r\n',
        PART + b"Content-Range: bytes 50000-102399/102400\r\n",
        PART + b'ETag: "v1"\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 49999-102399/102400\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102398/102400\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102400/102401\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102399/*\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: banana\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102399/102400\r\nContent-Length: 7\r\n',
        PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102399/102400\r\nContent-Encoding: gzip\r\n',
    ],
)
def test_a_part_that_does_not_continue_the_beginning_is_dropped(head: bytes, server: WebServer, target: Path) -> None:
    break_off(server, target)

    def answer(handler) -> None:
        server.raw = None
        write_raw(head + b"\r\n" + OTHER[50_000:])(handler)

    server.raw = answer
    download_once(server.url, target, accept, THREE)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-", None]


def test_a_server_that_answers_nothing_but_wrong_parts_is_left(server: WebServer, target: Path) -> None:
    break_off(server, target)
    server.raw = write_raw(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(DownloadError, match="the server answered 416"):
        download_once(server.url, target, accept, THREE)
    assert list_files(target) == set()


def test_a_beginning_stays_while_the_server_is_in_trouble(server: WebServer, target: Path) -> None:
    break_off(server, target)
    server.status, server.etag = 503, '"v1"'
    server.raw = write_raw(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(DownloadError, match="the server answered 503"):
        download_once(server.url, target, accept, THREE)
    server.status, server.raw = 200, None
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-", "bytes=50000-"]


def test_an_endless_part_ends_at_the_largest_size(server: WebServer, target: Path) -> None:
    break_off(server, target)
    head = PART + b'ETag: "v1"\r\nContent-Range: bytes 50000-102399/102400\r\nTransfer-Encoding: chunked\r\n\r\n'
    server.raw = repeat_for_ever(server, head, b"10000\r\n" + bytes(1 << 16) + b"\r\n", 0.0)
    with pytest.raises(DownloadError, match="the server goes on sending"):
        download_once(server.url, target, accept, THREE)
    assert list_files(target) == set()


def put_link(partial: Path, victim: Path) -> None:
    partial.unlink()
    partial.symlink_to(victim)


def put_hard_link(partial: Path, victim: Path) -> None:
    partial.unlink()
    partial.hardlink_to(victim)


@pytest.mark.parametrize("put", [put_link, put_hard_link])
def test_a_link_in_place_of_the_beginning_is_not_followed(
    put: Callable[[Path, Path], None], server: WebServer, target: Path, partial: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(CONTENT[:50_000])
    break_off(server, target)
    put(partial, victim)
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT and victim.read_bytes() == CONTENT[:50_000]
    assert server.ranges == [None, None]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}', b"\xff" * 50, b"x" * 100_000])
def test_a_damaged_note_of_the_origin_means_to_begin_anew(
    note: bytes, server: WebServer, target: Path, partial: Path
) -> None:
    break_off(server, target)
    origin = partial.with_name(".file.bin.origin.partial")
    assert json.loads(origin.read_bytes()) == {"url": server.url, "validator": '"v1"', "total": len(CONTENT)}
    origin.write_bytes(note)
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT and server.ranges == [None, None]


def test_a_beginning_from_another_address_is_not_used(server: WebServer, target: Path) -> None:
    break_off(server, target)
    download_once(server.url.replace("file.bin", "new.bin"), target, accept, ONE)
    assert target.read_bytes() == CONTENT and server.ranges == [None, None]


def test_what_its_reader_refuses_is_not_kept_and_not_resumed(server: WebServer, target: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise CheckpointError("no weights")

    with pytest.raises(CheckpointError, match="no weights"):
        download_once(server.url, target, refuse, ONE)
    assert list_files(target) == set()
    download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT and server.ranges == [None, None]


def test_two_processes_at_once_download_once(server: WebServer, target: Path) -> None:
    server.seconds = 0.3
    code = (
        "import sys; from pathlib import Path; from orbmm.download.once import download_once; "
        "from orbmm.download.transfer import Limits; "
        "download_once(sys.argv[1], Path(sys.argv[2]), lambda path: None, Limits(1 << 20))"
    )
    command = [sys.executable, "-c", code, server.url, str(target)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.asked) == 1 and target.read_bytes() == CONTENT


def test_a_nested_note_beside_a_beginning_is_no_origin(server: WebServer, target: Path, partial: Path) -> None:
    break_off(server, target)
    partial.with_name(".file.bin.origin.partial").write_text("[" * 16_000)
    assert download_once(server.url, target, accept, ONE)
    assert target.read_bytes() == CONTENT
