"""Receive one answer of a web server within limits of size and time; raise DownloadError for anything else."""

from __future__ import annotations

import http.client
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests import exceptions

from orbmm.errors import DownloadError, quote_reason

_FAULTS = (exceptions.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, OSError)
"""Errors that requests, urllib3 and the standard library raise for invalid answers and addresses.

requests converts most errors of urllib3 to its own classes while it reads the head of an answer, but none while it
reads the body. ValueError comes from addresses that cannot be parsed, OSError from sockets and certificates."""
_PIECE = 1 << 14
_REDIRECTIONS = (301, 302, 303, 307, 308)
_MOST_REDIRECTIONS = 5


class Interrupted(DownloadError):
    """A transfer that ended too early; another attempt may continue it."""


@dataclass
class Answer:
    """The head of an answer, and its body as it arrives.

    status, reason: as in 404, Not Found; headers: in any case
    length: bytes of the body, None if the server does not give them
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    pieces: Iterator[bytes] = field(default=iter(()), repr=False)

    @property
    def length(self) -> int | None:
        """Return the bytes of the body. Raises DownloadError for an invalid Content-Length."""
        said = self.headers.get("Content-Length")
        if said is None or "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return None
        if not re.fullmatch("[0-9]{1,18}", said.strip()):
            raise DownloadError(f"the server gives '{said[:40]}' as the length of the file")
        return int(said)


@contextmanager
def open_answer(url: str, headers: Mapping[str, str], limits: Limits) -> Iterator[Answer]:
    """Request url, follow redirections, and yield the answer as soon as its head has arrived.

    The transfer runs in a separate thread, because a library that waits for one more byte cannot check the time. At a
    limit the thread is abandoned: it writes nothing, and ends when its server sends something or closes the connection.
    Raises DownloadError, and Interrupted while the body arrives.
    """
    arrived: queue.Queue[Answer | bytes | BaseException | None] = queue.Queue(maxsize=64)
    stop = threading.Event()
    work = threading.Thread(target=_transfer, args=(url, headers, limits, _Giver(arrived, stop)), daemon=True)
    pieces = _take(arrived, limits, urlsplit(url).netloc)
    work.start()
    try:
        answer = next(pieces)
        if not isinstance(answer, Answer):
            raise TypeError(f"the body of {url} came before its head")
        answer.pieces = _only_bytes(pieces)
        yield answer
    finally:
        stop.set()


def _only_bytes(pieces: Iterator[Answer | bytes]) -> Iterator[bytes]:
    return (piece for piece in pieces if isinstance(piece, bytes))


@dataclass(frozen=True)
class _Giver:
    """The end of the queue that the thread writes to."""

    arrived: queue.Queue[Answer | bytes | BaseException | None]
    stop: threading.Event

    def __call__(self, item: Answer | bytes | BaseException | None) -> bool:
        """Put an item into the queue; return False if the reader has stopped."""
        while not self.stop.is_set():
            try:
                self.arrived.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False


def _take(
    arrived: queue.Queue[Answer | bytes | BaseException | None], limits: Limits, host: str
) -> Iterator[Answer | bytes]:
    """Yield the items from the thread until its end. Raises its errors, and DownloadError at a time limit."""
    now = time.monotonic()
    end, window, count = now + limits.longest_seconds, now + limits.window_seconds, 0
    begun = False
    while True:
        now = time.monotonic()
        if now >= end:
            raise DownloadError(f"it was not complete after {limits.longest_seconds:g} s")
        if now >= window:
            if count < limits.window_bytes and arrived.empty():  # this process may have slept instead
                raise DownloadError(f"{host} sent only {count:,} bytes in {limits.window_seconds:g} s")
            window, count = now + limits.window_seconds, 0
        try:
            item = arrived.get(timeout=max(min(end, window) - now, 0.001))
        except queue.Empty:
            continue
        if item is None:
            return
        if isinstance(item, BaseException):
            if begun and isinstance(item, DownloadError):
                raise Interrupted(str(item)) from item
            raise item
        begun = True
        count += len(item) if isinstance(item, bytes) else 0
        yield item


class _Session(requests.Session):
    """A session that returns redirections as answers: requests itself would first read their bodies, of any length."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that requests follows no redirection."""


def _transfer(url: str, headers: Mapping[str, str], limits: Limits, give: _Giver) -> None:
    """Receive an answer; put its head, its body in pieces, and finally None or an error into the queue."""
    body = False
    try:
        with _Session() as session, _request(session, url, headers, limits) as response:
            if not give(Answer(response.status_code, response.reason or "", response.headers)):
                return
            body = True
            if not all(give(piece) for piece in response.raw.stream(_PIECE, decode_content=False)):
                return
        give(None)
    except DownloadError as error:
        give(error)
    except _FAULTS as error:
        reason = _explain_body(error, url, limits) if body else _explain_head(error, url, limits)
        failure = DownloadError(reason)
        failure.__cause__ = error
        give(failure)
    except BaseException as error:  # a fault of this program is raised where somebody sees it
        give(error)
        raise


def _request(session: requests.Session, url: str, headers: Mapping[str, str], limits: Limits) -> requests.Response:
    """Return the first answer that is not a redirection; follow only http and https, and never from https to http."""
    asked = url
    for _ in range(_MOST_REDIRECTIONS + 1):
        response = session.get(
            url, headers=dict(headers), timeout=limits.silence_seconds, stream=True, allow_redirects=False
        )
        if response.status_code not in _REDIRECTIONS:
            return response
        response.close()
        location = response.headers.get("Location")
        if not location:
            raise DownloadError(f"the server answered {response.status_code} without saying where the file is")
        url = _resolve_redirection(url, location)
    raise DownloadError(f"{urlsplit(asked).netloc} redirected more than {_MOST_REDIRECTIONS} times")


def _resolve_redirection(url: str, location: str) -> str:
    shown = location[:100]
    try:
        target = urljoin(url, location)
        scheme, host = urlsplit(target).scheme, urlsplit(target).hostname
    except ValueError as error:
        raise DownloadError(f"the server redirected to '{shown}', which is no address") from error
    if scheme not in ("http", "https") or not host:
        raise DownloadError(f"the server redirected to '{shown}', which is no address of the web")
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise DownloadError(f"the server redirected to '{shown}', from a secure connection to one that is not")
    return target


def _explain_head(error: BaseException, url: str, limits: Limits) -> str:
    """Return the cause in a few words; the texts of requests fill several lines."""
    host = urlsplit(url).netloc
    causes = list(_list_causes(error))
    if isinstance(error, exceptions.SSLError):
        return f"{host} offers no secure connection{_quote_certificate(causes)}"
    if isinstance(error, exceptions.Timeout):
        return f"no answer from {host} in {limits.silence_seconds:g} s"
    if isinstance(error, exceptions.ProxyError):
        return "the connection to the proxy failed"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"the name {host} is not known here"
    if isinstance(error, exceptions.ConnectionError):
        spoke = any(isinstance(cause, http.client.HTTPException) for cause in causes)
        cut = any(isinstance(cause, http.client.RemoteDisconnected) for cause in causes)
        return f"{host} answered with something other than HTTP" if spoke and not cut else _CONNECTION.format(host)
    if isinstance(error, exceptions.InvalidURL | exceptions.InvalidSchema | ValueError):
        return f"no answer can be had from this address{quote_reason(error)}"
    return _CONNECTION.format(host)


_CONNECTION = "the connection to {} failed"


def _explain_body(error: BaseException, url: str, limits: Limits) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return f"no answer from {urlsplit(url).netloc} in {limits.silence_seconds:g} s"
    return "the connection broke off halfway"


def _quote_certificate(causes: list[BaseException]) -> str:
    said = [cause.verify_message for cause in causes if hasattr(cause, "verify_message")]
    return quote_reason(said[0]) if said else ""


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes: those of `raise ... from`, and those that urllib3 passes as arguments."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
            yield each


Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total."""


@dataclass(frozen=True)
class Limits:
    """Limits on the size and the duration of a transfer.

    largest_bytes: of the file; there is no default, because it depends on the kind of file
    silence_seconds: the longest time without any byte
    window_seconds, window_bytes: at least this many bytes must arrive in each such time. 64 KiB per minute is slower
        than any usable connection, and faster than a server that keeps a connection open with single bytes.
    longest_seconds: of one attempt; 6 h suffice for 100 MB at 5 kB/s, and the next call continues where this one ended
    attempts: requests within one call, for an answer that breaks off and can be resumed; pause_seconds: between them
    """

    largest_bytes: int
    silence_seconds: float = 30.0
    window_seconds: float = 60.0
    window_bytes: int = 1 << 16
    longest_seconds: float = 6 * 3600.0
    attempts: int = 3
    pause_seconds: float = 1.0
