"""What programs write into their logs and nobody may read there: covered, and the rest left readable."""

from __future__ import annotations

import pytest

from shards.containers import Line
from shards.masking import masked, without_keys

CANARY = "cAnArY9x"

TELLING = {
    "a password in words": f"db password={CANARY} host=db",
    "a header": f"Authorization: Bearer {CANARY}.{CANARY}",
    "a cookie": f"> Cookie: session={CANARY}",
    "JSON": f'{{"level":"info","api_key":"{CANARY}","user":"ada"}}',
    "JSON with a quote in it": f'{{"secret": "a\\"{CANARY}", "x": 1}}',
    "a variable": f"GITEA__database__PASSWD={CANARY}",
    "single quotes": f"client_secret: '{CANARY} {CANARY}'",
    "an address": f"dial postgres://gitea:{CANARY}@db:5432/gitea",
    "a query": f"GET /hook?access_token={CANARY}&x=1 HTTP/1.1",
    "a hash": f"user ada:$apr1$H6uskkkW${CANARY}hwj1TmHQOJSb",
    "several cookies": f"< Set-Cookie: a={CANARY}; Path=/; b={CANARY}",
    "a quote without an end": f'password="{CANARY} {CANARY}',
    "JSON in JSON": f'{{"msg":"{{\\"password\\": \\"{CANARY} {CANARY}\\", \\"user\\": 1}}"}}',
    "a token where the line is cut": f"{'x ' * 1985}ghp_{CANARY}{'a1B2' * 8}",
    "colours": f"\x1b[36mpassword\x1b[0m={CANARY} \x1b[1muser\x1b[0m=ada",
    "letters that nobody sees": f"pass\u200bword={CANARY}",
    "a token by its form": "cloning with ghp_cAnArY9x" + "a1B2" * 8,
}


def covered(*texts: str) -> list[str]:
    return [line.text for line in masked(without_keys([Line(text=text) for text in texts]))]


@pytest.mark.parametrize("text", TELLING.values(), ids=TELLING)
def test_a_secret_in_a_line_is_covered(text: str) -> None:
    [found] = covered(text)
    assert CANARY not in found


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/v1/repos 200 in 12ms",
        "FATAL: password authentication failed for user gitea",
        "token has expired, signing in again",
        "pulled sha256:" + "0123456789abcdef" * 4,
        'level=error msg="dial tcp 172.18.0.5:5432: connect: connection refused"',
    ],
)
def test_what_holds_none_stays_as_it_is(text: str) -> None:
    assert covered("before", text, "after") == ["before", text, "after"]


def test_one_secret_covers_its_own_line_only() -> None:
    lines = [f"line {number}" for number in range(120)]
    lines[60] = f"ssh-key AGE-SECRET-KEY-1{'Q' * 40}"
    found = covered(*lines)
    assert [number for number, text in enumerate(found) if text != lines[number]] == [60]


AT = "2026-11-21T15:04:05.123456789Z "


@pytest.mark.parametrize("before", ["", AT, f"web-1  | {AT}", "web-1  | "])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_private_key_is_covered_wherever_the_excerpt_begins(first: int, before: str) -> None:
    body = (CANARY * 9)[:64]
    key = ["-----BEGIN EC PRIVATE KEY-----", body, body, "-----END EC PRIVATE KEY-----"]
    found = covered(*(before + line for line in key[first:]), "after it")
    assert CANARY not in str(found) and found[-1] == "after it"


def test_a_line_without_an_end_is_cut_and_says_so() -> None:
    [found] = covered("x" * 100_000)
    assert len(found) < 5000 and "96,000 more characters" in found
