"""What Komodo or a file may show of secrets reaches nobody; and whatever is thrown at the readers, they tell faults."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.komodo import contents, environment, labels, stacks
from reconciler.komodo.compose import faults
from reconciler.komodo.language import LANGUAGE
from reconciler.komodo.reading import Stack, Update, read
from reconciler.komodo.wire import KomodoError

CANARY = "c4n4ry-0f-th1s-t3st"


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f'"{CANARY}"',
        f"${{X:-{CANARY}}}",
        f"postgres://app:{CANARY}@db/app",
        f"Bearer {CANARY}",
        f"{CANARY}$$tail",
    ],
)
def test_a_secret_is_refused_in_git_and_covered_when_it_is_read_back(value):
    assert environment.is_literal_secret("DB_PASSWORD", value)
    assert CANARY not in environment.covered(f"TZ = UTC\nDB_PASSWORD = {value}\n  # a note")
    spec = {"services": {"web": {"environment": {"DB_PASSWORD": value}}, "b": {"environment": [f"API_KEY={value}"]}}}
    assert CANARY not in json.dumps(contents.shown(spec))


@pytest.mark.parametrize(
    "line",
    ["export {}", '"{}"', "'{}'", '- "{}"', "-{}", "  - {}", '- "export {}"'],
)
@pytest.mark.parametrize("variable", ["DB_PASSWORD={}", "DB_PASSWORD: {}"])
def test_a_variable_is_one_in_every_spelling_that_komodo_and_compose_take(line, variable):
    secret, reference = (line.format(variable.format(value)) for value in (CANARY, "[[DB]]"))
    covered = environment.covered(f"TZ = UTC\n{secret}")
    assert covered == f"TZ = UTC\n{line.format(variable.format(environment.COVERED))}"
    assert environment.covered(reference) == reference
    assert list(environment.variables(secret)) == [(1, "DB_PASSWORD", CANARY)]
    text = f'[[stack]]\nname = \'media\'\n[stack.config]\nserver = \'nas\'\nenvironment = """\n{secret}\n"""\n'
    told = [problem.message for problem in LANGUAGE.parse("media/stack.toml", text.encode()).problems]
    assert any("'DB_PASSWORD' would hold a secret" in words for words in told), told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "[[DB]]"),
        ("DB_PASSWORD", "${DB:?it must be set}"),
        ("DB_PASSWORD", ""),
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("TOKEN", "/run/secrets/token"),
        ("TOKEN", "Bearer ${TOKEN}"),
        ("TOKEN", "$$$TOKEN"),
        ("DATABASE_URL", "postgres://app:${DB}@db/app"),
        ("KEYCLOAK_HOST", "keycloak.lab"),
        ("TZ", "Europe/Berlin"),
        ("ENABLE_TOKEN_CHECK", "sometimes"),
        ("PASSWORD_LOGIN", "true"),
    ],
)
def test_a_reference_or_what_only_speaks_of_a_secret_is_fine(name, value):
    assert not environment.is_literal_secret(name, value)
    assert environment.covered(f"{name} = {value}") == f"{name} = {value}"


def test_a_password_in_an_address_is_one_under_any_name():
    assert environment.is_literal_secret("DATABASE", f"postgres://app:{CANARY}@db/app")


@pytest.mark.parametrize(
    "words",
    [
        f"serve --password={CANARY}", f"serve --api-key {CANARY}", f"failed: token: {CANARY}", f"https://a:{CANARY}@b/",
        f'DB_PASSWORD="{CANARY}" serve', f"bad 'password': 'a {CANARY} b'", f'{{"db":{{"password":"{CANARY}"}}}}',
        f"curl -H 'Authorization: Bearer {CANARY}' x", f'said {{\\"token\\": \\"{CANARY}\\"}}',
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_what_a_command_or_a_complaint_says_is_covered(words):
    assert CANARY not in environment.covered_words(words)
    assert CANARY not in json.dumps(contents.shown({"services": {"web": {"command": words.split()}}})) or " " in words
    update = Update.model_validate(
        {"status": "Complete", "logs": [{"stage": "Up", "stderr": words, "success": False}], "operation": "DeployStack"}
    )
    assert CANARY not in update.fault


@pytest.mark.parametrize("piece", ["a", "a.", "2026-01-02T", "eyJ", "://", "a://", " "])
def test_a_word_of_a_megabyte_in_a_command_is_no_trouble(piece):
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    shown = environment.covered_words(f"{text} http://ada:hunter2hunter2@db")
    assert "hunter2" not in shown
    assert time.process_time() - began < 5  # an hour, where each place of it may be the beginning of an address


@pytest.mark.parametrize("blank", [" ", "\t", "\r"])
def test_a_line_of_blanks_of_a_megabyte_is_no_trouble(blank):
    blanks = blank * (1_000_000 // len(blank))
    began = time.process_time()
    for line in (f"TOKEN=a{blanks}hunter2", f"TOKEN{blanks}=hunter2", f"{blanks}TOKEN=hunter2{blanks}"):
        assert "hunter2" not in environment.covered(line)
    assert time.process_time() - began < 5  # minutes, where each blank may be the end of the value


@pytest.mark.parametrize(
    "more",
    [
        {"configs": {"c": {"content": f"user=a\npassword={CANARY}\n"}}},
        {"secrets": {"c": {"content": f"token: {CANARY}"}}},
        {"volumes": {"v": {"driver_opts": {"o": f"username=a,password={CANARY}"}}}},
        {"x-shared": {"DB_PASSWORD": CANARY}},
        {"x-shared": {"deeper": [{"environment": [f"API_KEY={CANARY}"]}]}},
        {"services": {"web": {"command": ["serve", "--requirepass", CANARY]}}},
        {"services": {"web": {"healthcheck": {"test": ["CMD", "ask", "--token", CANARY]}}}},
        {"services": {"web": {"environment": [f"CERTIFICATE=-----BEGIN PRIVATE KEY-----\n{CANARY}"]}}},
        {"configs": {"c": {"content": json.dumps({"db": {"password": CANARY}})}}},
        {"configs": {"c": {"content": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"}}},
        {"services": {"web": {"build": {"context": ".", "args": {"NPM_TOKEN": CANARY}}}}},
        {"services": {"web": {"build": {"args": [f"NPM_TOKEN={CANARY}"]}}}},
        {"services": {"web": {"logging": {"driver": "splunk", "options": {"splunk-token": CANARY}}}}},
        {"services": {"web": {"post_start": [{"command": f"login --password={CANARY}"}]}}},
        {"services": {"web": {"pre_start": [{"command": f"login --password={CANARY}"}]}}},
    ],
)
def test_whatever_holds_a_secret_in_a_compose_file_of_komodo_is_covered(more):
    assert CANARY not in json.dumps(contents.shown(more))


def test_what_only_names_things_is_shown_as_it_is():
    document = {
        "services": {
            "auth": {
                "image": "lab/token:1.0",
                "volumes": ["secrets:/secrets"],
                "build": {"context": ".", "secrets": ["npm_token"]},
                "secrets": ["db_password"],
                "networks": ["auth"],
            }
        },
        "secrets": {"db_password": {"file": "/srv/db_password"}},
        "volumes": {"secrets": None},
        "networks": {"auth": {"external": True}},
    }
    assert contents.shown(document) == document


@pytest.mark.parametrize("field", ["pre_deploy", "post_deploy"])
def test_what_a_command_of_a_stack_holds_is_covered(field):
    command = f'curl -H "X-Api-Key: {CANARY}" https://u:{CANARY}@lab/'
    assert CANARY not in json.dumps(stacks.shown({field: {"path": "", "command": command}}))
    assert CANARY not in json.dumps(stacks.shown({"extra_args": ["--env", f"DB_PASSWORD={CANARY}"]}))
    assert stacks.shown({field: {"path": "a", "command": "make it"}}) == {field: {"path": "a", "command": "make it"}}


def test_a_stack_and_what_is_wrong_with_it_show_no_configuration():
    stack = Stack.model_validate({"_id": {"$oid": "a"}, "name": "m", "config": {"environment": f"TOKEN={CANARY}"}})
    assert CANARY not in repr(stack)
    with pytest.raises(KomodoError) as error:
        read({"_id": {"$oid": "a"}, "name": "m", "config": CANARY}, Stack, "GetStack")
    assert CANARY not in str(error.value)


# ── whatever is thrown at them ───────────────────────────────────────────────────────────────────

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
keys = st.sampled_from(
    ["image", "environment", "volumes", "labels", "depends_on", "networks", "ports", "secrets", "x-y"]
)
services = st.dictionaries(keys, values, max_size=4)
documents = st.fixed_dictionaries(
    {"services": st.dictionaries(st.text("ab-", min_size=1, max_size=3), services | values)}
)


@settings(max_examples=60, deadline=None)
@given(documents | values)
def test_any_compose_file_is_judged_without_falling_over(document):
    found = faults(document)
    if not found:
        labels.of_compose("stack", document)
    contents.shown(document)
    contents.literal_secrets(document)
    LANGUAGE.parse("komodo/media/compose.yaml", json.dumps(document).encode())


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=80) | st.text(max_size=80).map(str.encode),
    st.sampled_from(["stack.toml", "compose.yaml", "request.yaml"]),
)
def test_any_bytes_are_read_or_refused(content, name):
    parsed = LANGUAGE.parse(f"komodo/media/{name}", content)
    assert parsed.problems or parsed.resources


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("traefik.httprouse[0]nl", min_size=1, max_size=40), st.text(max_size=10), max_size=5))
def test_any_labels_are_read_or_told(found):
    odd = {f"traefik.http.{key}": value for key, value in found.items()}
    labels.of_compose("stack", {"services": {"web": {"labels": {**found, **odd}}}})


fields = st.fixed_dictionaries(
    {"server": st.just("nas")},
    optional={
        "repo": st.just("a/b"),
        "links": st.lists(st.text("ab", max_size=3), max_size=2),
        "auto_pull": st.booleans(),
        "environment": st.text("A=b# \n", max_size=12),
        "pre_deploy": st.fixed_dictionaries({"path": st.text("/a", max_size=2), "command": st.text(" x", max_size=3)}),
    },
)


@settings(max_examples=60, deadline=None)
@given(fields)
def test_what_is_sent_to_komodo_reads_back_as_what_was_wanted(config):
    spec = stacks.normal(config)
    sent = stacks.for_komodo(spec, "id-of-nas", "")
    assert stacks.normal({**sent, "server": "nas"}) == spec
    ended = sent["environment"] + "\n" if sent["environment"] else ""
    assert stacks.normal({**sent, "server": "nas", "environment": ended}) == spec
