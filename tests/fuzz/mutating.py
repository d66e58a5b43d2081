"""Mutations of real samples, led by chance: bytes that are nearly right, and values of every wrong shape."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

DEEP = 3000
LONG = 70_000
LARGE = 200_000
HUGE = 70_000_000
"""More than anything is read that is read at once; twice that, a few times over, would not fit the fuzzer itself."""

TOKENS = (
    b"", b"\0", b"\x7f", b"\x80", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8",
    b"\r\n", b"\n", b"\t", b" ", b"\r\nX-Injected: yes", b"{{", b"}}", b"{{ env `HOME` }}", b"`", b'"', b"'", b"\\",
    b"\\ud800", b"\\u0000", b"\\x", b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system ", b"!!binary |",
    b"? ", b"- ", b": ", b"#", b"%YAML 1.1\n", b"---\n", b"...\n", b"|\n", b">-\n", b"@", b"[", b"]", b"{", b"}",
    b",", b"null", b"~", b"no", b"true", b"NaN", b"-Infinity", b".inf", b"1e999", b"-0", b"0x", b"010", b"1_000",
    b"18446744073709551616", b"9" * 30, b"9" * 5000, b"2026-01-01", b"12:30:45", "²".encode(), "٣".encode(),
    "é".encode(), "\U0001f600".encode(), "\u202e".encode(), b"(", b")", b"&&", b"||", b"!", b"^", b"$", b"(?i)",
    b"(a+)+$", b"{1000}", b"\\pL", b"[^\\n]", b"..", b"../", b"%00", b"%2F", b"%", b"://", b"//", b"@file", b"=",
    b"export ", b" " * 5000, b"\t" * 5000, b"[[x]]\n", b"[" * DEEP, b"{a=" * DEEP, b"{a: " * DEEP, b"'''", b'"""',
)  # fmt: skip
"""What trips readers: of bytes, of YAML, TOML and JSON, of numbers, rules, regular expressions and addresses."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, 0.0, -0.0, 1.5, 1e308, 5e-324,
    float("nan"), float("inf"), "", " ", "\0", "\ud800", "\udc80", "\r\nX-Injected: yes", "²", "٣", "é", "{{", "`",
    "a" * LONG, "1s", "-1s", "9" * 25 + "s", "9" * 5000, "9" * LONG, "010", "no", "2026-01-01T00:00:00Z", "127.0.0.1",
    "::1", "http://[::1", "http://a:99999999/", "h2c://x", "Host(`a`)", "a@file", "@", "a@", "api@internal",
    "../../etc",
    "/", "x" * 300, "1" * 64, "traefik/http.routers/a", "a/b", "%2F", "(a+)+$", "[", "(?i)\\pL{3}", "\\", [], {},
    [[]], [None], [{}], {"": None}, {"a": {}}, ["a", 1, None, {"b": []}], {"\ud800": 1}, {"k" * 2000: 1},
)  # fmt: skip
"""What stands where something else should."""


def nested(depth: int, kind: type = list) -> Any:
    """Lists in lists, or mappings in mappings."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def written(value: Any) -> bytes:
    """JSON, in which anything may stand that Python can write: NaN, halves of characters, endless numbers."""
    try:
        return json.dumps(value).encode()
    except (RecursionError, ValueError):
        return b"[" * DEEP + b"]" * DEEP


class Mutator:
    """Changes samples; the same chance makes the same changes."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────

    def content(self, samples: Sequence[bytes]) -> bytes:
        """One of these, changed a little; now and then not at all, or nothing like any of them."""
        roll = self.chance.random()
        if roll < 0.03:
            return self.chance.randbytes(self.chance.randrange(200))
        content = self.chance.choice(samples)
        if roll < 0.13:
            return content
        for _ in range(self.chance.choice((1, 1, 1, 2, 2, 3, 6))):
            content = self._changed(content, samples)
        return content

    def text(self, samples: Sequence[str]) -> str:
        """The same for text; bytes that are none become halves of characters."""
        return self.content([one.encode("utf-8", "surrogatepass") for one in samples]).decode(
            "utf-8", "surrogateescape"
        )

    def _changed(self, content: bytes, samples: Sequence[bytes]) -> bytes:
        at, end = self._span(len(content))
        cut = content[at:end]
        match self.chance.randrange(10):
            case 0:
                return content[:at] + content[end:]
            case 1:
                return content[:at] + self.chance.choice(TOKENS) + content[at:]
            case 2 | 3:
                return content[:at] + self.chance.choice(TOKENS) + content[end:]
            case 4:
                return content[:at] + cut + content[at:]
            case 5:
                return (
                    content[:at]
                    + cut * min(self.chance.choice((2, 3, 3, 50, 500)), LARGE // (len(cut) + 1))
                    + content[end:]
                )
            case 6:
                other = self.chance.choice(samples)
                there, until = self._span(len(other))
                return content[:at] + other[there:until] + content[end:]
            case 7:
                return content[:at]
            case 8:
                return content[:at] + bytes([self.chance.randrange(256)]) + content[at + 1 :]
        return self._lines_moved(content)

    def _span(self, length: int) -> tuple[int, int]:
        at = self.chance.randrange(length + 1)
        return at, min(length, at + self.chance.choice((0, 1, 2, 4, 8, 30, 100, 1000)))

    def _lines_moved(self, content: bytes) -> bytes:
        lines = content.split(b"\n")
        here, there = self.chance.randrange(len(lines)), self.chance.randrange(len(lines))
        match self.chance.randrange(3):
            case 0:
                lines[here], lines[there] = lines[there], lines[here]
            case 1:
                lines.insert(there, lines[here])
            case _:
                lines[here] = b" " * self.chance.randrange(8) + lines[here].lstrip()
        return b"\n".join(lines)

    # ── values ───────────────────────────────────────────────────────────────────────────────────

    def value(self, sample: Any) -> Any:
        """A JSON-like value, with something else in one or a few of its places."""
        try:
            changed: list[Any] = [copy.deepcopy(sample)]
        except RecursionError:
            return sample  # it is strange enough
        if self.chance.random() < 0.1:
            return changed[0]
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            self._somewhere(changed)
        return changed[0]

    def strange(self) -> Any:
        """Something that should not stand here."""
        roll = self.chance.random()
        if roll < 0.02:
            return nested(self.chance.choice((60, 600, DEEP)), self.chance.choice((list, dict)))
        if roll < 0.04:
            # Each by itself: what is changed inside one later would stand in all of them, and in VALUES for ever.
            value, times = self.chance.choice(VALUES), self.chance.choice((100, 2000))
            times = min(times, HUGE // len(value)) if isinstance(value, str) and value else times
            return [copy.deepcopy(value) for _ in range(times)]
        return copy.deepcopy(self.chance.choice(VALUES))

    def _somewhere(self, value: list[Any]) -> None:
        holder, key = self._place(value)
        match self.chance.randrange(7):
            case 0 if isinstance(holder, dict) and key in holder:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[str(self.chance.choice(VALUES))[:3000]] = holder.get(key)
            case 2:
                holder[key] = [holder[key]]
            case 3:
                holder[key] = {"a": holder[key]}
            case 4 if isinstance(holder[key], str):
                holder[key] = self.text([holder[key]])
            case 5 if isinstance(holder, list):
                holder.extend(holder[:50])
            case _:
                holder[key] = self.strange()

    def _place(self, value: list[Any]) -> tuple[Any, Any]:
        """A place somewhere inside, every level as likely as any other."""
        holder, key = value, 0
        while True:
            inner = holder[key]
            keys = (
                list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
            )
            if not keys or self.chance.random() < 0.2:
                return holder, key
            holder, key = inner, self.chance.choice(keys)

    def document(self, samples: Sequence[Any], texts: Sequence[bytes]) -> bytes:
        """A file that should hold something like these: a value of a wrong shape, or text with a fault."""
        if self.chance.random() < 0.5:
            return written(self.value(self.chance.choice(samples)))
        return self.content(texts)
