"""A web server on this machine that answers as a test wishes: rightly, in pieces, slowly, or against the rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class WebServer:
    """What the server on 127.0.0.1 answers, and what it was asked.

    content: the bytes that it serves; announced: the length that it claims, if another
    status: the HTTP status; seconds: how long it thinks first
    etag, modified: how it recognises the content; with one of them it continues broken downloads
    breaks: after how many bytes the next answers break off
    headers: more lines for the head
    raw: writes the whole answer instead; it may go on until `closing` is set
    asked, ranges: the paths and the Range headers of all requests
    """

    content: bytes
    announced: int | None = None
    status: int = 200
    seconds: float = 0.0
    etag: str = ""
    modified: str = ""
    breaks: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None
    url: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(content: bytes, name: str) -> Iterator[WebServer]:
    """Give a server of one file, at http://127.0.0.1:PORT/name."""
    says = WebServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            says.asked.append(self.path)
            says.ranges.append(self.headers.get("Range"))
            says.closing.wait(says.seconds)
            (says.raw or _answer_by_the_rules(says))(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that has gone away is what many tests are about."""

    http = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    says.url = f"http://127.0.0.1:{http.server_port}/{name}"
    try:
        yield says
    finally:
        says.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()


def _answer_by_the_rules(says: WebServer) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        total, first, status = len(says.content), 0, says.status
        validator = says.etag or says.modified
        if validator and handler.headers.get("Range") and handler.headers.get("If-Range") == validator:
            first, status = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")), 206
        body = says.content[first:]
        lines = {"Content-Length": str(says.announced or len(body))} | says.headers
        lines |= {name: text for name, text in (("ETag", says.etag), ("Last-Modified", says.modified)) if text}
        if status == 206:
            lines = {"Content-Range": f"bytes {first}-{total - 1}/{total}"} | lines
        handler.send_response(status)
        for name, text in lines.items():
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(body[: says.breaks.pop(0)] if says.breaks else body)

    return answer


def write_raw(answer: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return what sends these bytes and closes the connection."""
    return lambda handler: handler.wfile.write(answer)


def repeat_for_ever(
    says: WebServer, head: bytes, piece: bytes, pause: float
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return what sends a head, and then a piece again and again, with a pause [s] between them."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while not says.closing.wait(pause):
            handler.wfile.write(piece)

    return answer
