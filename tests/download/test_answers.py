"""Whatever a server on this machine answers, the outcome is the file, or one sentence and no file."""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.web_server import WebServer, repeat_for_ever, serve, write_raw

from orbmm.download.once import download_once
from orbmm.download.transfer import Limits, _resolve_redirection
from orbmm.errors import DownloadError, UnsafeFile

CONTENT = bytes(range(256)) * 400
QUICK = Limits(
    1 << 20,
    silence_seconds=0.4,
    window_seconds=0.5,
    window_bytes=1000,
    longest_seconds=1.5,
    attempts=3,
    pause_seconds=0.01,
)
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serve(CONTENT, "file.bin") as says:
        yield says


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file.bin"


def accept(path: Path) -> None:
    """Refuse nothing."""


def list_files(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")}


def refuse(url: str, target: Path, limits: Limits = QUICK) -> str:
    """The sentence of a download that must fail, which leaves nothing."""
    with pytest.raises(DownloadError) as refusal:
        download_once(url, target, accept, limits)
    assert list_files(target) == set()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_right_answer_becomes_the_file(server: WebServer, target: Path) -> None:
    assert download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == CONTENT
    assert list_files(target) == {"file.bin"}
    assert not download_once(server.url, target, accept, QUICK)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HEAD + b"Content-Length: abc\r\n\r\nx", "the server gives 'abc' as the length of the file"),
        (HEAD + b"Content-Length: -5\r\n\r\nx", "the server gives '-5' as the length of the file"),
        (HEAD + b"Content-Length: " + b"9" * 60 + b"\r\n\r\nx", "the server gives '" + "9" * 40 + "' as the length"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello", "no answer can be had|as the length of the file"),
        (HEAD + b"Content-Length: 99\r\n\r\nshort", "the connection broke off halfway"),
        (HEAD + b"Content-Length: 1048577\r\n\r\nx", "announces 1,048,577 bytes, and such a file has at most 1,048,576"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", "the connection broke off halfway"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "the connection broke off halfway"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "in the encoding 'gzip', which was not asked"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "the server answered 403 Forbidden"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the server answered 404 Not Found"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "the server answered 500 Oh"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "the server answered 204 No Content"),
        (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx", "the server answered 206"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "answered with something other than HTTP"),
        (b"HTTP/1.1 banana\r\n\r\n", "answered with something other than HTTP"),
        (HEAD + b"X: y\r\n" * 200 + b"\r\n", "answered with something other than HTTP"),
        (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "answered with something other than HTTP"),
        (b"", "the connection to 127.0.0.1:[0-9]+ failed"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "answered 302 without saying where the file is"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "'file:///etc/passwd', which is no address of the web"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "'ftp://127.0.0.1/x', which is no address of the web"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[bad/x\r\n\r\n", r"redirected to 'http://\[bad/x', which is no address"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\n\r\n", "no answer can be had from this address|is no address"),
        (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", "redirected more than 5 times"),
    ],
)  # fmt: skip
def test_an_answer_that_is_out_of_order_is_one_sentence(
    answer: bytes, reason: str, server: WebServer, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.raw = write_raw(answer)
    assert re.search(reason, refuse(server.url, target))
    assert capfd.readouterr() == ("", "")


def test_a_redirection_to_another_path_is_followed(server: WebServer, target: Path) -> None:
    def answer(handler):
        server.raw = None
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere.bin\r\n\r\n")

    server.raw = answer
    download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["/file.bin", "/elsewhere.bin"]


def test_the_body_of_a_redirection_is_not_read(server: WebServer, target: Path) -> None:
    endless = repeat_for_ever(server, b"HTTP/1.1 302 Found\r\nLocation: /elsewhere.bin\r\n\r\n", bytes(1 << 16), 0.0)

    def answer(handler):
        server.raw = None
        endless(handler)

    server.raw = answer
    download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == CONTENT


def test_chunks_and_an_unknown_length_are_no_fault(server: WebServer, target: Path) -> None:
    server.raw = write_raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == b"hello"
    target.unlink()
    server.raw = write_raw(HEAD + b"\r\nhello to the end")
    download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == b"hello to the end"


def test_a_header_that_cannot_be_parsed_makes_no_noise(
    server: WebServer, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.raw = write_raw(HEAD + b"Content-Length: 5\r\nno colon here\r\n\r\nhello")
    download_once(server.url, target, accept, QUICK)
    assert [record for record in caplog.records if record.name.startswith("urllib3")] == []


def test_a_beginning_without_an_origin_does_not_stay(server: WebServer, target: Path) -> None:
    target.parent.mkdir()
    (target.parent / ".file.bin.partial").write_bytes(CONTENT[:10])  # as a killed process leaves it
    server.status = 404
    assert refuse(server.url, target) == "the server answered 404 Not Found"


def test_more_bytes_than_announced_are_not_taken(server: WebServer, target: Path) -> None:
    server.raw = write_raw(HEAD + b"Content-Length: 5\r\n\r\nhello and more")
    download_once(server.url, target, accept, QUICK)
    assert target.read_bytes() == b"hello"


def test_a_compressed_answer_is_not_asked_for_and_not_unpacked(server: WebServer, target: Path) -> None:
    server.content, server.headers = gzip.compress(bytes(1 << 22)), {"Content-Encoding": "gzip"}
    assert "in the encoding 'gzip'" in refuse(server.url, target)


@pytest.mark.parametrize("head", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"], ids=["plain", "chunked"])
def test_an_endless_answer_ends_at_the_largest_size(head: bytes, server: WebServer, target: Path) -> None:
    piece = bytes(1 << 16) if head == b"\r\n" else b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    server.raw = repeat_for_ever(server, HEAD + head, piece, 0.0)
    reason = refuse(server.url, target, replace(QUICK, longest_seconds=30.0, window_seconds=10))
    assert reason == "the server goes on sending, and such a file has at most 1,048,576"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD + b"Content-Length: 90000\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
        (HEAD, b"X"),
        (HEAD, b"X: y\r\n"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "size of a chunk", "name of a header", "headers", "status", "continue"],
)
def test_a_server_that_sends_single_bytes_is_left(head: bytes, piece: bytes, server: WebServer, target: Path) -> None:
    server.raw = repeat_for_ever(server, head, piece, 0.05)
    limits = replace(QUICK, attempts=1, silence_seconds=5.0)
    assert "bytes in 0.5 s" in refuse(server.url, target, limits)


def test_a_transfer_that_is_fast_enough_and_has_no_end_meets_the_limit_of_time(server: WebServer, target: Path) -> None:
    server.raw = repeat_for_ever(server, HEAD + b"\r\n", bytes(2000), 0.02)
    assert refuse(server.url, target) == "it was not complete after 1.5 s"


@pytest.mark.parametrize("head", [b"", HEAD + b"Content-Length: 9\r\n\r\nx"], ids=["at once", "halfway"])
def test_a_silent_server_is_left(head: bytes, server: WebServer, target: Path) -> None:
    server.raw = repeat_for_ever(server, head, b"", 0.1)
    limits = replace(QUICK, window_seconds=5.0, longest_seconds=9.0)
    assert "no answer from 127.0.0.1" in refuse(server.url, target, limits)


def test_a_thread_that_was_left_ends(server: WebServer, target: Path) -> None:
    before = threading.active_count()
    server.raw = repeat_for_ever(server, HEAD + b"\r\n", bytes(1 << 16), 0.0)
    refuse(server.url, target, replace(QUICK, window_seconds=10, longest_seconds=30.0))
    server.closing.set()
    for thread in threading.enumerate():
        if thread.name.endswith("(_transfer)"):
            thread.join(timeout=5)
            assert not thread.is_alive()
    assert threading.active_count() <= before + 2  # those of the server


def test_a_name_that_nobody_knows_is_told_from_a_server_that_is_down(target: Path) -> None:
    assert refuse("http://no-such-name.invalid/x", target) == "the name no-such-name.invalid is not known here"
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert refuse(f"http://127.0.0.1:{port}/x", target) == f"the connection to 127.0.0.1:{port} failed"


def test_a_server_without_tls_behind_https_is_one_sentence(server: WebServer, target: Path) -> None:
    assert "offers no secure connection" in refuse(server.url.replace("http:", "https:"), target)


def test_a_certificate_that_nobody_signed_is_refused(target: Path, tmp_path: Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            tmp_path / "key.pem",
            "-out",
            tmp_path / "cert.pem",
        ]
        + ["-days", "2", "-subj", "/CN=localhost"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context))
        thread.start()
        reason = refuse(f"https://localhost:{listener.getsockname()[1]}/x", target, replace(QUICK, silence_seconds=3.0))
        thread.join()
    assert "offers no secure connection (self" in reason


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        connection.close()


def test_a_secure_address_does_not_lead_to_one_that_is_not() -> None:
    assert _resolve_redirection("https://a.org/x", "/y") == "https://a.org/y"
    assert _resolve_redirection("http://a.org/x", "https://b.org/y") == "https://b.org/y"
    with pytest.raises(DownloadError, match="from a secure connection to one that is not"):
        _resolve_redirection("https://a.org/x", "http://a.org/x")


def test_a_link_in_place_of_the_lock_is_not_followed(server: WebServer, target: Path, tmp_path: Path) -> None:
    target.parent.mkdir()
    (tmp_path / "victim").write_text("precious")
    (target.parent / ".file.bin.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UnsafeFile):
        download_once(server.url, target, accept, QUICK)
    assert (tmp_path / "victim").read_text() == "precious"
