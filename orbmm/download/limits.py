"""Limits of what a server may send, and of how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of what a server may send, and of how long it may take.

    largest_bytes: of the file; there is no default, for it depends on what the file is
    silence_seconds: the server may stay silent for as long
    window_seconds, window_bytes: at least so many bytes must arrive in each such time. 64 KiB a minute is slower than
        any line that could bring such files, and faster than a server that holds a connection open by single bytes.
    longest_seconds: of one attempt; 6 h bring 100 MB at 5 kB/s, and the next call goes on where this one ended
    attempts: requests within one call, for an answer that breaks off and can be resumed; pause_seconds: between them
    """

    largest_bytes: int
    silence_seconds: float = 30.0
    window_seconds: float = 60.0
    window_bytes: int = 1 << 16
    longest_seconds: float = 6 * 3600.0
    attempts: int = 3
    pause_seconds: float = 1.0
