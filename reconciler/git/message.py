"""Commit messages: a title, a body, trailers. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping

REQUEST = "Waypost-Request"
TOOL = "Waypost-Tool"
CLIENT = "Waypost-Client"

TITLE_LIMIT = 120
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):[ \t]+(\S(?:.*\S)?)[ \t]*")
_OURS = re.compile(r"[ \t]*waypost-[a-z0-9-]+[ \t]*:", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def compose(title: str, body: str, trailers: Mapping[str, str]) -> str:
    """The message of a proposal. A body cannot smuggle in a trailer of ours: such lines are quoted."""
    paragraphs = [_one_line(title)[:TITLE_LIMIT] or "(no title)", _body(body), _trailers(trailers)]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def subject(message: str) -> str:
    """The first line."""
    return message.lstrip("\n").split("\n", 1)[0].strip()


def trailers(message: str) -> dict[str, str]:
    """The trailers of a message: its last paragraph, where every line of that has the form `Key: value`.

    The first paragraph is the title and never trailers. A key given twice keeps its last value.
    """
    paragraphs = re.split(r"\n[ \t]*\n", message.strip())
    if len(paragraphs) < 2:
        return {}
    lines = paragraphs[-1].splitlines()
    found = [_TRAILER.fullmatch(line) for line in lines]
    return {match[1]: match[2] for match in found if match} if all(found) else {}


def requests(message: str) -> list[str]:
    """Every request id a message names, wherever it stands: a squash keeps trailers in the middle of its text."""
    return re.findall(rf"^[ \t]*{REQUEST}:[ \t]+(\S+)[ \t]*$", message, re.MULTILINE)


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _body(text: str) -> str:
    lines = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip().split("\n")
    return "\n".join(f"> {line}" if _OURS.match(line) else line.rstrip() for line in lines)


def _trailers(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}: {_one_line(value)}" for key, value in values.items() if _one_line(value))
