"""Stack files, compose files and requests as the desired repo holds them: read exactly, or refused with a place."""

import json

import pytest

from reconciler.komodo.language import LANGUAGE

STACK = '''[[stack]]
name = "media"
description = "films"
tags = ["home"]
deploy = true
after = ["db"]
[stack.config]
server = "nas"
links = ["https://media.lab"]
environment = """
TZ = Europe/Berlin
DB_PASSWORD = [[MEDIA_DB]]
"""
'''
COMPOSE = """
services:
  web:
    image: jellyfin/jellyfin:10
    restart: unless-stopped
    ports: ["8096:8096", "127.0.0.1:1900:1900/udp"]
    environment:
      - TZ=Europe/Berlin
      - API_KEY=${MEDIA_KEY}
    volumes:
      - config:/config
    networks: [front]
    depends_on:
      db: {condition: service_healthy}
    healthcheck: {test: ["CMD", "true"], interval: 30s}
    x-note: any
  db:
    image: postgres:17
volumes:
  config:
networks:
  front: {external: true}
"""


def stack(text, folder="media"):
    return LANGUAGE.parse(f"komodo/{folder}/stack.toml", text.encode())


def compose(text, folder="media"):
    return LANGUAGE.parse(f"komodo/{folder}/compose.yaml", text.encode())


def told(content):
    return [str(problem) for problem in content.problems]


def test_a_native_stack_file_is_read_without_what_only_says_what_komodo_says_by_itself():
    content = stack(STACK.replace('server = "nas"', 'server = "nas"\nauto_pull = true\nbranch = "main"'))
    assert told(content) == []
    assert content.resources == (
        (
            "stack",
            "media",
            {
                "server": "nas",
                "links": ["https://media.lab"],
                "environment": "TZ = Europe/Berlin\nDB_PASSWORD = [[MEDIA_DB]]",
                "after": ["db"],
            },
            2,
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"media"', '"films"', 2, "called 'films' and its folder 'media'"),
        ("[[MEDIA_DB]]", "hunter2", 12, "'DB_PASSWORD' would hold a secret"),
        ("[[MEDIA_DB]]", "${X:-hunter2}", 12, "'DB_PASSWORD' would hold a secret"),
        ('server = "nas"', 'servr = "nas"', 8, "unknown field 'servr'; 'server' is meant?"),
        ('server = "nas"', "", 1, "'server' is missing"),
        ('server = "nas"', 'server = "nas"\nauto_update = true', 9, "leave auto_update off"),
        ('server = "nas"', 'server = "nas"\nrepo = "lab/media"', 1, "is pinned"),
        ('server = "nas"', 'server = "nas"\nrepo = "lab/media"\ncommit = "abc"', 10, "is pinned"),
        ('server = "nas"', 'server = "nas"\nfile_contents = "services: {}"', 9, "put the compose file beside it"),
        ('server = "nas"', 'server = "nas"\nwebhook_secret = "x"', 9, "a secret has no place in Git"),
        ('after = ["db"]', 'after = ["media"]', 6, "cannot come after itself"),
        ("[[stack]]", '[[server]]\nname = "nas"\n[[stack]]', 1, "only [[stack]] belongs here"),
        ("deploy = true", "deploy = ture", 5, "this is not TOML"),
        ("deploy = true", 'deploy = "sometimes"', 5, "neither true nor false"),
    ],
)
def test_what_is_wrong_with_a_stack_file_is_told_with_its_line(old, new, line, words):
    content = stack(STACK.replace(old, new, 1))
    assert content.resources == ()
    assert any(words in str(one) and one.line == line for one in content.problems), told(content)
    assert "hunter2" not in " ".join(told(content))


def test_a_file_describes_one_stack():
    assert "exactly one [[stack]]" in told(stack(STACK + '[[stack]]\nname = "other"\n'))[0]
    assert "exactly one [[stack]]" in told(stack(""))[0]


def test_a_compose_file_is_read_as_the_specification_has_it():
    content = compose(COMPOSE)
    assert told(content) == []
    [(kind, name, spec, _)] = content.resources
    assert (kind, name, spec["services"]["web"]["networks"]) == ("compose", "media", ["front"])


def test_what_is_shared_by_anchors_is_written_out():
    content = compose("""
x-common: &common
  restart: always
services:
  web: {<<: *common, image: a}
  db:
    <<: *common
    image: b
""")
    assert told(content) == []
    services = content.resources[0][2]["services"]
    assert services["db"] == {"image": "b", "restart": "always"}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("image: jellyfin/jellyfin:10", "imge: x", 4, "unknown field 'imge'; 'image' is meant?"),
        ("unless-stopped", "sometimes", 5, "is no way to restart"),
        ('"8096:8096"', '"8096:web"', 6, "is no port"),
        ("- API_KEY=${MEDIA_KEY}", "- API_KEY=hunter2", 9, "'API_KEY' would hold a secret"),
        ("config:/config", "confg:/config", 11, "there is no volume 'confg'"),
        ("[front]", "[back]", 12, "there is no network 'back'"),
        ("db: {condition: service_healthy}", "cache: {condition: service_healthy}", 14, "there is no service 'cache'"),
        ("service_healthy", "healthy", 14, "is none of service_started"),
        ("interval: 30s", "interval: soon", 15, "is no length of time"),
        ("image: postgres:17", "restart: always", 18, "neither an image nor how to build one"),
        ("volumes:\n  config:\n", "volume:\n  config:\n", 19, "unknown field 'volume'"),
        ("x-note: any", "command: !reset null", 16, "tag '!reset' found"),
        ("x-note: any", "image: twice", 16, "stands here twice"),
    ],
)
def test_what_is_wrong_with_a_compose_file_is_told_with_its_line(old, new, line, words):
    content = compose(COMPOSE.replace(old, new, 1))
    assert content.resources == ()
    assert any(words in str(one) and one.line in (line, line - 1) for one in content.problems), told(content)
    assert "hunter2" not in " ".join(told(content))


def test_what_stands_in_no_commit_cannot_be_included():
    assert "stand in no commit" in told(compose("include: [other.yaml]\nservices: {a: {image: b}}\n"))[0]
    extending = "services:\n  a:\n    extends: {file: base.yaml, service: b}\n"
    assert "stands elsewhere; write its fields out" in told(compose(extending))[0]
    within = "services:\n  a: {image: x, privileged: true}\n  b: {image: y, extends: a}\n"
    assert "services.b.extends: what it gets from another service" in told(compose(within))[0]


def test_what_covers_a_secret_is_no_value():
    covered = STACK.replace("[[MEDIA_DB]]", "•••")
    [said] = told(stack(covered))
    assert "'•••' covers a secret" in said
    assert "'•••' covers a secret" in told(compose(COMPOSE.replace("${MEDIA_KEY}", "•••")))[0]
    assert "'•••' covers a secret" in told(compose("services: {a: {image: b, command: serve --password=•••}}"))[0]


@pytest.mark.parametrize("name", ["compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_a_compose_file_of_another_name_is_not_passed_over_in_silence(name):
    assert LANGUAGE.reads(f"media/{name}")
    assert "name it compose.yaml" in told(LANGUAGE.parse(f"komodo/media/{name}", b"services: {}"))[0]


def test_other_files_may_stand_beside_a_stack():
    assert not any(map(LANGUAGE.reads, ("media/README.md", "media/conf/compose.yaml", "stack.toml", "media/x.toml")))


REQUEST = {"do": "restart", "at": "2026-11-21T15:04:05Z", "reason": "the cache is stuck"}


def test_a_request_is_dated_and_has_a_reason():
    def read(**changed):
        text = json.dumps({**REQUEST, **changed})
        return LANGUAGE.parse("komodo/media/request.yaml", text.encode())

    assert read().resources == (("request", "media", REQUEST, 1),)
    assert "'soon' is no moment in UTC" in told(read(at="soon"))[0]
    assert "there is no such moment" in told(read(at="2026-02-30T10:00:00Z"))[0]
    assert "is none of restart, deploy" in told(read(do="destroy"))[0]
    missing = LANGUAGE.parse("komodo/media/request.yaml", b"do: restart\n")
    assert len(missing.problems) == 2


def test_a_folder_that_can_be_no_stack_is_refused():
    assert "can be no name of a stack" in told(stack(STACK, folder="-x"))[0]
