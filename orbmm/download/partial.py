"""Keep the start of an interrupted download, and continue it only if the server still has the same file."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from orbmm.download.transfer import Answer, Interrupted, Limits, Progress, open_answer
from orbmm.errors import DownloadError, UnsafeFile
from orbmm.files import open_regular, read_json, require_regular, write_file


@dataclass(frozen=True)
class Origin:
    """The file to which a partial file belongs.

    validator: the ETag of the file, or else its time of last change, as given by the server
    total: bytes of the whole file, None if the server has not given them
    """

    url: str
    validator: str
    total: int | None


def download_file(url: str, partial: Path, limits: Limits, progress: Progress) -> None:
    """Download url to the file partial, continuing an earlier attempt if the server allows it.

    Raises DownloadError, and keeps a partial file that a later call can continue; any other is deleted. Raises OSError
    for errors of the disk.
    """
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.pause_seconds)
        try:
            if _attempt(url, partial, limits, progress):
                _origin_path(partial).unlink(missing_ok=True)
                return
        except Interrupted:
            if attempt + 1 == limits.attempts or _read_origin(url, partial) is None:
                raise
    raise DownloadError("the server's parts do not fit together")


def remove_partial(partial: Path) -> None:
    """Remove a partial file and the note of its origin."""
    partial.unlink(missing_ok=True)
    _origin_path(partial).unlink(missing_ok=True)


def _attempt(url: str, partial: Path, limits: Limits, progress: Progress) -> bool:
    """Make one request; return False if the answer does not continue the partial file, which is then deleted."""
    origin = _read_origin(url, partial)
    begun = require_regular(partial) if origin else 0
    if origin is None:
        remove_partial(partial)
    with open_answer(url, _list_headers(origin, begun), limits) as answer:
        if origin and answer.status in (206, 416) and not _continues(answer, origin, begun):
            remove_partial(partial)
            return False
        if answer.status == 206 and origin:
            total = origin.total
        else:
            begun, total = 0, _check_head(answer, limits)
            _begin(partial, url, answer)
        try:
            _write(answer, partial, total, limits, progress)
        except BaseException:  # an interrupt from the keyboard too
            if not _origin_path(partial).exists():
                partial.unlink(missing_ok=True)
            raise
        return True


def _list_headers(origin: Origin | None, begun: int) -> dict[str, str]:
    """Return the request headers; they refuse compressed answers, whose length is not that of the file."""
    headers = {"Accept-Encoding": "identity"}
    return headers | {"Range": f"bytes={begun}-", "If-Range": origin.validator} if origin else headers


def _continues(answer: Answer, origin: Origin, begun: int) -> bool:
    """Return True if a partial answer starts where the partial file ends and belongs to the same file."""
    match = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", answer.headers.get("Content-Range", "").strip()
    )
    if answer.status != 206 or match is None:
        return False
    first, last, total = (int(number) for number in match.groups())
    if first != begun or last != total - 1 or origin.total not in (None, total):
        return False
    if answer.length not in (None, last - first + 1) or _is_encoded(answer):
        return False
    if origin.validator.startswith('"'):
        return answer.headers.get("ETag") == origin.validator
    return answer.headers.get("Last-Modified") in (None, origin.validator)


def _check_head(answer: Answer, limits: Limits) -> int | None:
    """Return the length of the whole file, None if it is unknown. Raises DownloadError for any other answer."""
    if answer.status != 200:
        raise DownloadError(f"the server answered {answer.status} {answer.reason[:60]}".rstrip())
    if _is_encoded(answer):
        encoding = answer.headers["Content-Encoding"][:40]
        raise DownloadError(f"the server sent it in the encoding '{encoding}', which was not asked for")
    if answer.length is not None and answer.length > limits.largest_bytes:
        raise DownloadError(_too_large(f"the server announces {answer.length:,} bytes", limits))
    return answer.length


def _is_encoded(answer: Answer) -> bool:
    return answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


def _too_large(what: str, limits: Limits) -> str:
    return f"{what}, and such a file has at most {limits.largest_bytes:,}"


def _begin(partial: Path, url: str, answer: Answer) -> None:
    """Create an empty partial file, and note its origin if the server has given a validator.

    A weak ETag (W/...) does not guarantee the same bytes, so it is not used.
    """
    remove_partial(partial)
    etag = answer.headers.get("ETag", "")
    validator = etag if re.fullmatch(r'"[^"]{1,500}"', etag) else answer.headers.get("Last-Modified", "")
    if 0 < len(validator) <= 502 and validator.isascii():
        origin = Origin(url, validator, answer.length)
        write_file(_origin_path(partial), json.dumps(asdict(origin)).encode("ascii"))
    open_regular(partial, "xb").close()


def _write(answer: Answer, partial: Path, total: int | None, limits: Limits, progress: Progress) -> None:
    """Append the received bytes to the partial file, and count them."""
    size = require_regular(partial)
    with open_regular(partial, "ab") as stream:
        for piece in answer.pieces:
            size += len(piece)
            if size > limits.largest_bytes:
                break
            stream.write(piece)
            progress(size, total)
    if size > limits.largest_bytes:
        remove_partial(partial)
        raise DownloadError(_too_large("the server goes on sending", limits))
    if total is not None and size != total:
        remove_partial(partial)
        raise DownloadError(f"{size:,} bytes came where the server had announced {total:,}")


def _read_origin(url: str, partial: Path) -> Origin | None:
    """Return the origin of a partial file that can be continued, or None."""
    try:
        origin = Origin(**read_json(_origin_path(partial), 1 << 14))
        size = require_regular(partial)
    except (OSError, UnsafeFile, ValueError, TypeError):
        return None
    known = isinstance(origin.validator, str) and (origin.total is None or isinstance(origin.total, int))
    return origin if origin.url == url and known and size > 0 else None


def _origin_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name.removesuffix('.partial')}.origin.partial")
