"""No secret reaches Git, and no message repeats one."""

from __future__ import annotations

import base64
import threading
import time

import pytest

from reconciler.in_use import pieces
from reconciler.secrets import find_secrets, without_secrets

HASH = "$2y$05$" + "ab/CD.12" * 6 + "abcde"
WORD = "Tr0ub4dor-3xample"


@pytest.mark.parametrize(
    "text",
    [
        f"password: {WORD}",
        f"command: [serve, --password={WORD}]",
        f"labels:\n  - traefik.http.middlewares.a.headers.customrequestheaders.Authorization={WORD}",
        f"api_key: {WORD}",
        f"apiToken: {WORD}",
        f"clientSecret: '{WORD}'",
        f"  - DB_PASSWORD: {WORD}",
        f"DB_PASSWORD={WORD}",
        "secret: 12345678",
        f"http:\n  middlewares:\n    a:\n      rateLimit:\n        redis:\n          password: {WORD}",
        f"http:\n  middlewares:\n    a:\n      basicAuth:\n        users:\n          - 'ada:{HASH}'",
        "users: ['ada:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']",
        "users: ['ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=']",
        "users: ['ada:realm:7c4a8d09ca3762af61e59520943dc264']",
        "headers:\n  Authorization: Bearer abcdef0123456789",
        "command: curl -H 'authorization: BEARER abcDefGhiJkl'",
        "command: curl -H 'X-Any: basic YWRhOnNlY3JldA=='",
        "customRequestHeaders: {X-Any: 'Basic YWRhOnNlY3JldA=='}",
        "key: |\n  -----BEGIN PRIVATE KEY-----\n  MIIEvQIBADANBg\n  -----END PRIVATE KEY-----",
        "x: -----BEGIN OPENSSH PRIVATE KEY-----",
        "# AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
        "url: https://discord.com/api/webhooks/1234567890/abcdefghijklmnopqrstuvwxyz012345",
        "url: https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "url: postgres://ada:hunter22@db/app",
        "x: ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "x: glpat-0123456789abcdefghij",
        "x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc123",
        "x: AKIAIOSFODNN7EXAMPLE",
        "a: [  # broken\npassword: " + WORD,
        "a: &x 1\npassword: " + WORD,
        f"environment:\n  - DB_PASSWORD={WORD}",
        "x: '" + "a" * 20_000 + " ghp_0123456789abcdefghijklmnopqrstuvwxyz'",
        "[a]\ntoken = '" + WORD + "'",
        f"environment:\n  SESSION_KEY: {WORD}\n",
        f"environment:\n  MYSQL_PASS: {WORD}\n",
        f"environment:\n  - SECRET_KEY_BASE={WORD}\n",
        f"environment:\n  ROOTPASSWORD: {WORD}\n",
        f"environment:\n  TOKEN_2: {WORD}\n",
        f"jwtKey: {WORD}",
        "x: ptr_" + "a1B2" * 10,
        "x: tk_" + "a1b2c" * 5 + "abcd",
        "x: K-" + "a1B2" * 10,
    ],
)
def test_a_secret_is_found_at_its_line_and_never_repeated(text: str) -> None:
    found = find_secrets("traefik/a.yaml", "x-first: 1\n" + text)
    assert found
    assert all(problem.line > 1 and problem.file == "traefik/a.yaml" for problem in found)
    words = " ".join(map(str, found))
    assert not any(part in words for part in (WORD, HASH, "hunter22", "W6ph5Mm5", "12345678", "YWRhOn", "ghp_", "MIIE"))


@pytest.mark.parametrize(
    "text",
    [
        "password: env:DB_PASSWORD",
        "password: file:/run/secrets/db",
        "password: ${DB_PASSWORD}",
        "password: $DB_PASSWORD",
        "passwordFile: /run/secrets/db",
        "password: ''",
        "token:",
        "secret: ***",
        "tokens: true",
        "usersFile: /etc/traefik/users",
        "basicAuth: {removeHeader: true}",
        "customRequestHeaders: {Authorization: ''}",
        "keyFile: /certs/a.key",
        "service: token-service",
        "rule: Host(`secret.example.org`)",
        "passTLSClientCert: {pem: true}",
        "average: 100",
        "x-description: A token is asked for at the door.",
        "url: http://10.0.0.1:8080/path",
        "customFrameOptionsValue: SAMEORIGIN",
        "contentSecurityPolicy: \"script-src 'sha256-B2yPHKaXnvFWtRChIbabYmUBFZdVfKKXHbWtWidDVF8='\"",
        "commit: 3f786850e387550fdab836ed7e6dc881de23001b",
        "authResponseHeaders: [X-authentik-username, X-Secret-Name]",
        "secretName: wildcard-cert",
        "# the password stands in the vault",
        "# Protect it with basic authentication, as the token invalid/expired was",
        "# Basic Authentication and DIGEST AUTHENTICATION are what it asks for",
        "permissionsPolicy: camera=(), microphone=()",
        "password: '[[DB_PASSWORD]]'",
        "password: ENC[AES256_GCM,data:CwE4O1s=,iv:2k=,tag:w==,type:str]",
        "key: !Context signing_key",
        "environment:\n  SECRET_KEY_FILE: /run/secrets/key\n  PUBLIC_KEY: ssh-ed25519 AAAA\n  MONKEYS: seven\n",
        "environment:\n  TOKEN_TTL: 1h\n  KEYCLOAK_URL: http://id.lab\n  PASSWORD_MIN_LENGTH: '12'\n",
    ],
)
def test_what_is_no_secret_is_let_through(text: str) -> None:
    assert find_secrets("traefik/a.yaml", text) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Log in with ghp_0123456789abcdefghijklmnopqrstuvwxyz", "•••"),
        (f"Fix the login: password: {WORD}, and more", "Fix the login: password: •••, and more"),
        (f"Fetch https://ada:{WORD}@git.lab/x", "Fetch https://•••@git.lab/x"),
        (f"first\ntoken={WORD}\nlast", "first\ntoken=•••\nlast"),
        (f"first\nuser ada:{HASH}\nlast", "first\n•••\nlast"),
        (
            "keep it\n-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ\nx9==\n-----END RSA PRIVATE KEY-----\nend",
            "keep it\n•••\nend",
        ),
    ],
)
def test_words_of_people_are_told_without_the_secrets_in_them(words: str, told: str) -> None:
    assert without_secrets(words) == told


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Move gitea behind the new proxy (#12), see https://git.lab/ada/lab/issues/12",
        "Rotate the token of ada: it ends soon",
        "Revert 3f786850e387550fdab836ed7e6dc881de23001b: Traefik refused what it asks for",
        "Ada Lovelace <ada@example.org>",
        "the password stands in the vault\n\n  and not here",
    ],
)
def test_words_without_a_secret_stay_as_they_are(words: str) -> None:
    assert without_secrets(words) == words


def test_every_secret_of_a_file_is_named_at_once() -> None:
    text = f"a: {{password: {WORD}}}\nb: 1\nc:\n  token: {WORD}\n"
    assert [problem.line for problem in find_secrets("a.yaml", text)] == [1, 4]


def test_no_comment_talks_the_scan_out_of_what_it_found() -> None:
    assert find_secrets("a.yaml", f"x: sk_live_{'a1B2' * 6}  # pragma: allowlist secret")


def test_a_secret_is_found_wherever_it_stands_in_a_long_file() -> None:
    for lines in (0, 1_999, 2_000, 2_001, 50_000):
        text = "x: y\n" * lines + f"x: sk_live_{'a1B2' * 6}\n" + "x: " + "y " * 30_000
        assert [problem.line for problem in find_secrets("a.yaml", text)] == [lines + 1]


def test_several_threads_find_the_same() -> None:
    text, missed = f"x: sk_live_{'a1B2' * 6}", list[int]()

    def look() -> None:
        missed.extend(n for n in range(100) if not find_secrets("a.yaml", text))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not missed


@pytest.mark.parametrize("piece", ["a", "/", "://", "sk-", "-eyJ", "eyJ"])
def test_a_line_of_a_megabyte_is_no_trouble(piece: str) -> None:
    def cost(size: int) -> float:
        began = time.process_time()
        find_secrets("a.yaml", "x: " + piece * (size // len(piece)))
        return time.process_time() - began

    cost(100)  # the detectors are made only once
    assert cost(1_000_000) < 5  # half a minute, where each place of a line is looked at with all that follows it


def test_a_line_of_blanks_in_a_file_that_cannot_be_read_is_no_trouble() -> None:
    blank = "a: [\n" + " " * 9_000 + "- password" + " " * 900 + ":  hunter22hunter22\n" + " " * 9_000 + "{"
    find_secrets("a.yaml", "a: [")  # the detectors are made only once
    began = time.process_time()
    assert [problem.line for problem in find_secrets("a.yaml", blank)] == [2]
    assert time.process_time() - began < 2  # minutes, where each blank may be the first of a name


@pytest.mark.parametrize(
    "text",
    [
        "//registry.lab/:_authToken=npm_Zy9xWv8uTs7rQp6o",
        "no-sk-" + "aB3dE5gH7jK9mN1pQ3sT" + "T3BlbkFJ" + "uV5wX7yZ9aB1cD3eF5gH",
        "a=eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
        "x-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
    ],
)
def test_a_token_is_found_in_the_middle_of_a_long_line(text: str) -> None:
    for before, after in ((0, 0), (9_000, 0), (12_345, 70_000)):
        assert find_secrets("a.yaml", "x: '" + "y " * before + text + " z" * after + "'")


def test_a_token_whose_claims_nest_without_end_is_one() -> None:
    claims = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5_000).decode().rstrip("=")
    assert find_secrets("a.yaml", f"x: {claims}.e30.c2ln")


@pytest.mark.parametrize("form", ["x: {}", "# once it was {}", "x: 'basic {}'"])
def test_a_secret_in_use_is_found_whatever_it_looks_like(form: str) -> None:
    address = "json://ada:hidden-in-here@alerts.lab/notifications/0123abcd-4567"
    in_use = pieces(["correct horse battery", "administrator:quiet-as-a-mouse", address])
    assert not in_use & {"administrator", "notifications", "alerts.lab"}
    encoded = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"
    for secret in ("correct horse battery", "quiet-as-a-mouse", "hidden-in-here", "0123abcd-4567", encoded):
        (found,) = find_secrets("a.yaml", f"a: 1\n{form.format(secret)}\n", in_use)[:1]
        assert found.line == 2 and secret not in str(found)


def test_a_word_that_is_too_short_for_a_secret_is_no_sign_of_one() -> None:
    assert find_secrets("a.yaml", "x: hello alerts.lab json", pieces(["hello", "json://ada:hi@alerts.lab/"])) == []
