"""Files that are nearly valid: a valid one, cut, doubled, swapped, shifted, or with a number that none should be."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], object]
Edit = Callable[[Callable, bytes], bytes]

MOST_EDITS = 3
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
NUMBERS = (
    b"nan", b"inf", b"-inf", b"1e400", b"-1e400", b"1e-400", b"-0", b"0", b"-1", b"1e38", b"99999.99", b"-9999.99",
    b"2147483648", b"-2147483649", b"9" * 25, b"9" * 400, b"0x10", b"1_0", b"1,5", b"", b"?", b".", b"*****", b"A0000",
)  # fmt: skip
WORDS = tuple(text.encode() for text in ("é", "水", "\u202e", "\u2028", "\x85", "\x1b[2J", "\t", '"', "'", ";", "#"))
WORDS += (b"\0", b"\xff", b"\xed\xa0\x80", b"\r", b"\n", b" ", b"loop_", b"data_", b"END\n", b"ENDMDL\n", b"TER\n")
WORDS += (b"MODEL        1\n", b"CONECT    1    2\n", b"=", b"[", b"{", b"\\u0000")
INTEGERS = (0, 1, -1, 2, 9, 10, 255, 1993, 1995, 2**16, 2**24, 2**30, 2**31 - 1, -(2**31))
FLOATS = (0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x00000001)  # NaN, inf, -inf, the largest, the smallest


def mutate(seeds: Sequence[bytes], *, binary: bool = False) -> st.SearchStrategy[bytes]:
    """Files made from one of the seeds by up to MOST_EDITS edits; one in eight or so is bytes of no format at all."""
    edits = BINARY_EDITS if binary else TEXT_EDITS

    @st.composite
    def near(draw: Callable) -> bytes:
        content = draw(st.sampled_from(seeds))
        for edit in draw(st.lists(st.sampled_from(edits), min_size=1, max_size=MOST_EDITS)):
            content = edit(draw, content)
        return content

    return st.one_of(*[near()] * 7, st.binary(max_size=400))


def _draw_place(draw: Callable, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _draw_span(draw: Callable, content: bytes) -> tuple[int, int]:
    first = _draw_place(draw, content)
    return first, min(len(content), first + draw(st.sampled_from((1, 2, 4, 8, 16, 80, 400))))


def cut(draw: Callable, content: bytes) -> bytes:
    """The file torn at any byte."""
    return content[: _draw_place(draw, content)]


def leave_out(draw: Callable, content: bytes) -> bytes:
    first, last = _draw_span(draw, content)
    return content[:first] + content[last:]


def double(draw: Callable, content: bytes) -> bytes:
    first, last = _draw_span(draw, content)
    return content[:last] + content[first:]


def swap(draw: Callable, content: bytes) -> bytes:
    """Two spans that do not overlap change places."""
    first, last = sorted((_draw_place(draw, content), _draw_place(draw, content)))
    size = min(draw(st.sampled_from((1, 4, 8, 80))), last - first, len(content) - last)
    a, b = content[first : first + size], content[last : last + size]
    return content[:first] + b + content[first + size : last] + a + content[last + size :]


def change_byte(draw: Callable, content: bytes) -> bytes:
    place = _draw_place(draw, content)
    return content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :]


def put_word(draw: Callable, content: bytes) -> bytes:
    place = _draw_place(draw, content)
    return content[:place] + draw(st.sampled_from(WORDS)) + content[place:]


def change_number(draw: Callable, content: bytes) -> bytes:
    """One number is another, in the columns of the first where it fits and is wanted there."""
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    match = found[draw(st.integers(0, len(found) - 1))]
    number = draw(st.sampled_from(NUMBERS))
    if draw(st.booleans()):
        number = number.rjust(len(match[0]))[: max(len(match[0]), 1)]
    return content[: match.start()] + number + content[match.end() :]


def change_line(draw: Callable, content: bytes) -> bytes:
    """One line is left out, doubled, moved to the end, emptied, cut, or shifted by a column."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    at = draw(st.integers(0, len(lines) - 1))
    line, place = lines[at], draw(st.integers(0, 80))
    kinds = ([], [line, line], [line[:place] + b"\n"], [line[:place] + b" " + line[place:]], [b"\n"],
             [line[:place] + line[place + 1 :]], [line.swapcase()])  # fmt: skip
    changed = draw(st.sampled_from((*kinds, None)))
    if changed is None:
        return b"".join([*lines[:at], *lines[at + 1 :], line])
    return b"".join([*lines[:at], *changed, *lines[at + 1 :]])


def change_all(draw: Callable, content: bytes) -> bytes:
    """The whole file in another encoding or order."""
    latin = content.decode("latin-1")
    return draw(
        st.sampled_from(
            (
                codecs.BOM_UTF8 + content,
                content.replace(b"\n", b"\r\n"),
                content.replace(b"\n", b"\r"),
                latin.encode("utf-16"),
                latin.encode("utf-16-be"),
                b"".join(reversed(content.splitlines(keepends=True))),
                content + content,
                content.lower(),
                content.replace(b" ", b"\t"),
                b"\n" + content,
            )
        )
    )


def change_word(draw: Callable, content: bytes) -> bytes:
    """Four or eight bytes, in either order, are a number that a header should not hold."""
    place = draw(st.integers(0, max(0, min(len(content), 400) // 4 - 1))) * 4
    if draw(st.booleans()):
        place = _draw_place(draw, content)
    order = draw(st.sampled_from(("little", "big")))
    value = draw(st.one_of(st.sampled_from(INTEGERS), st.sampled_from(FLOATS), st.integers(-(2**31), 2**31 - 1)))
    size = draw(st.sampled_from((4, 8)))
    word = (value % 2 ** (8 * size)).to_bytes(size, order)
    return content[:place] + word + content[place + size :]


TEXT_EDITS: tuple[Edit, ...] = (
    cut, leave_out, double, swap, change_byte, put_word, change_number, change_number, change_line, change_line,
    change_all,
)  # fmt: skip
BINARY_EDITS: tuple[Edit, ...] = (cut, leave_out, double, swap, change_byte, change_word, change_word, change_word)
