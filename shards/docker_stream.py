"""What the Docker Engine sends as the log of a container, as lines. Pure.

Without a terminal both outputs come in one stream of frames, each with a header of eight bytes: which output, three
zeros, and the length. With a terminal they are one, as they were written. Every entry begins with its time; an entry
longer than 16 KiB comes in several, each with a time of its own, and only the last ends a line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from shards.containers import Line, level_of

_HEADER: Final = 8
_OUTPUTS: Final = {0: "stdout", 1: "stdout", 2: "stderr"}
_LONGEST_FRAME: Final = 16 << 20
_LONGEST_LINE: Final = 1 << 20
"""Bytes after which a line is taken to be over, whether it says so or not."""

_TIME: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00) ")

Frame = tuple[str, bytes]


class NoFrames(ValueError):
    """This is not what an Engine sends."""


def lines(pieces: Iterable[bytes], content_type: str) -> Iterator[Line]:
    """Every line as soon as it is whole; the last one also where its end is missing. Raises NoFrames."""
    pieces = iter(pieces)
    first = _at_least(pieces, _HEADER)
    everything = itertools.chain((first,), pieces)
    if _is_framed(first, content_type):
        yield from _joined(_frames(everything), entries=True)
    else:
        yield from _joined((("", piece) for piece in everything), entries=False)


def _at_least(pieces: Iterator[bytes], size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = next(pieces, None)
        if piece is None:
            break
        found += piece
    return found


def _is_framed(first: bytes, content_type: str) -> bool:
    """Not every Engine names the kind of its stream, and what stands between may take the name away."""
    if "raw-stream" in content_type:
        return False
    if "multiplexed-stream" in content_type:
        return True
    return len(first) >= _HEADER and first[0] in _OUTPUTS and first[1:4] == bytes(3)


def _frames(pieces: Iterable[bytes]) -> Iterator[Frame]:
    held = bytearray()
    for piece in pieces:
        held += piece
        at = 0
        while len(held) - at >= _HEADER:
            header = held[at : at + _HEADER]
            end = at + _HEADER + _size(header)
            if len(held) < end:
                break
            yield _OUTPUTS[header[0]], bytes(held[at + _HEADER : end])
            at = end
        del held[:at]
    if held:
        raise NoFrames("it breaks off in the middle of a line")


def _size(header: bytearray) -> int:
    size = int.from_bytes(header[4:_HEADER], "big")
    if header[0] not in _OUTPUTS or any(header[1:4]) or size > _LONGEST_FRAME:
        raise NoFrames("it is no stream of lines")
    return size


def _joined(frames: Iterable[Frame], *, entries: bool) -> Iterator[Line]:
    """`entries`: every frame begins with a time, also one that goes on with a line."""
    begun: dict[str, bytearray] = {}
    for output, content in frames:
        line = begun.setdefault(output, bytearray())
        if line and entries and (again := _TIME.match(content)):
            content = content[again.end() :]
        first, *others = content.split(b"\n")
        line += first
        for other in others:
            yield _line(output, line)
            line = begun[output] = bytearray(other)
        if len(line) > _LONGEST_LINE:
            yield _line(output, line)
            begun[output] = bytearray()
    yield from (_line(output, line) for output, line in begun.items() if line)


def _line(output: str, content: bytearray) -> Line:
    found = _TIME.match(content)
    text = content[found.end() if found else 0 :].decode("utf-8", "replace").rstrip("\r")
    return Line(text=text, at=_moment(found) if found else None, output=output, level=level_of(text))


def _moment(found: re.Match[bytes]) -> datetime | None:
    fraction = (found[2] or b"").ljust(6, b"0")[:6]
    try:
        return datetime.fromisoformat(f"{found[1].decode()}.{fraction.decode()}").replace(tzinfo=UTC)
    except ValueError:  # a day that no calendar has: whatever wrote it
        return None
