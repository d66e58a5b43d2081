"""Edits touch one resource and leave everything else of a person's file as it was, byte for byte."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import document
from reconciler.edit import EditError, remove_resource, set_resource
from reconciler.traefik import language

ROUTER = {"rule": "Host(`git.example.org`)", "service": "gitea", "entryPoints": ["websecure"]}

PERSONS_FILE = b"""\
# Ada's routes. Ask before touching!
---
http:  # everything over HTTP

  routers:
    # the wiki moved here in May
    wiki:
        rule: "Host(`wiki.example.org`)"   # no www
        service: 'wiki'
        # both doors
        entryPoints:
        - web
        - websecure   # TLS

    # gitea stays
    gitea: {rule: Host(`git.example.org`), service: gitea}

  services:
    gitea:
      loadBalancer:
        servers:
        - url: http://10.0.0.2:3000
    wiki:
      loadBalancer:
        servers:
        - url: http://10.0.0.3:8080
# the end
"""


def test_a_new_file_holds_just_the_resource() -> None:
    text = set_resource(None, "http.routers", "gitea", ROUTER)
    assert text.decode() == (
        "http:\n  routers:\n    gitea:\n      rule: Host(`git.example.org`)\n      service: gitea\n"
        "      entryPoints:\n        - websecure\n"
    )


def test_only_the_lines_of_the_changed_resource_change() -> None:
    changed = {"rule": "Host(`wiki.example.org`)", "service": "wiki", "entryPoints": ["web", "public"]}
    before, after = PERSONS_FILE.decode(), set_resource(PERSONS_FILE, "http.routers", "wiki", changed).decode()
    assert after == before.replace("- websecure   # TLS", "- public      # TLS")


def test_a_new_resource_stands_after_its_neighbours_and_apart_like_them() -> None:
    after = set_resource(PERSONS_FILE, "http.routers", "blog", {"rule": "Host(`b.example.org`)", "service": "wiki"})
    before = PERSONS_FILE.decode()
    added = "\n    blog:\n      rule: Host(`b.example.org`)\n      service: wiki\n"
    anchor = "service: gitea}\n"
    assert after.decode() == before.replace(anchor, anchor + added)


def test_a_new_section_is_put_at_the_end() -> None:
    after = set_resource(
        PERSONS_FILE, "udp.services", "dns", {"loadBalancer": {"servers": [{"address": "10.0.0.1:53"}]}}
    )
    head, tail = PERSONS_FILE.decode().split("# the end")
    assert after.decode().startswith(head + "udp:\n  services:\n    dns:\n")
    assert after.decode().endswith("# the end" + tail)


def test_a_removed_resource_takes_its_own_comments_and_no_others() -> None:
    after = remove_resource(PERSONS_FILE, "http.routers", "wiki")
    assert after is not None
    start, end = PERSONS_FILE.index(b"    # the wiki moved"), PERSONS_FILE.index(b"\n    # gitea stays")
    assert after == PERSONS_FILE[:start] + PERSONS_FILE[end:]


def test_the_last_resource_of_a_section_takes_the_section_along() -> None:
    services = b"  services:\n    y:\n      loadBalancer: {servers: []}\n"
    text = b"# head\nhttp:\n  routers:\n    a: {rule: x, service: y}\n" + services
    assert remove_resource(text, "http.routers", "a") == b"# head\nhttp:\n" + services


def test_the_last_resource_takes_the_file_along() -> None:
    assert remove_resource(b"http:\n  routers:\n    a: {rule: x, service: y}\n", "http.routers", "a") is None


def test_what_is_as_wanted_is_not_touched() -> None:
    router = {"rule": "Host(`git.example.org`)", "service": "gitea"}
    assert set_resource(PERSONS_FILE, "http.routers", "gitea", router) is PERSONS_FILE
    assert remove_resource(PERSONS_FILE, "http.routers", "nobody") is PERSONS_FILE


def test_a_comment_of_a_field_that_goes_is_kept_above_the_resource() -> None:
    after = set_resource(PERSONS_FILE, "http.routers", "wiki", {"rule": "Host(`wiki.example.org`)", "service": "wiki"})
    assert Counter(document.comments(after.decode())) == Counter(document.comments(PERSONS_FILE.decode()))


def test_names_and_fields_are_found_whatever_their_case() -> None:
    after = set_resource(
        b"HTTP:\n  Routers:\n    a:\n      Rule: x\n      SERVICE: y\n",
        "http.routers",
        "a",
        {"rule": "x", "service": "z"},
    )
    assert after == b"HTTP:\n  Routers:\n    a:\n      Rule: x\n      SERVICE: z\n"


def test_windows_line_ends_stay() -> None:
    text = PERSONS_FILE.replace(b"\n", b"\r\n")
    after = set_resource(text, "http.routers", "gitea", ROUTER)
    assert after.count(b"\n") == after.count(b"\r\n")


def test_a_json_file_stays_readable() -> None:
    text = b'{"http": {"routers": {"a": {"rule": "x", "service": "y"}}}}\n'
    after = set_resource(text, "http.routers", "b", {"rule": "z", "service": "y"})
    assert {name for _, name in language.read_file("f.yaml", after)[0]} == {"a", "b"}
    assert remove_resource(after, "http.routers", "b") is not None


def test_certificates_are_found_by_their_file() -> None:
    text = set_resource(None, "tls.certificates", "/a.pem", {"certFile": "/a.pem", "keyFile": "/a.key"})
    text = set_resource(text, "tls.certificates", "/b.pem", {"certFile": "/b.pem", "keyFile": "/b.key"})
    text = set_resource(text, "tls.certificates", "/a.pem", {"certFile": "/a.pem", "keyFile": "/new.key"})
    resources, problems = language.read_file("f.yaml", text)
    assert not problems
    assert [spec["keyFile"] for spec in resources.values()] == ["/new.key", "/b.key"]
    left = remove_resource(text, "tls.certificates", "/a.pem")
    assert left is not None
    assert list(language.read_file("f.yaml", left)[0]) == [("tls.certificates", "/b.pem")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"http:\n  routers: [\n", "3:1"),
        (b"http:\n  routers:\n    a: &x {rule: y}\n", "3:8"),
        (b"http:\n  routers:\n    a: {rule: y, colour: red}\n", "3:18"),
    ],
)
def test_a_broken_file_is_not_edited_and_the_line_is_named(text: bytes, where: str) -> None:
    with pytest.raises(EditError, match=where):
        set_resource(text, "http.routers", "b", ROUTER)


@pytest.mark.parametrize(
    "spec",
    [
        {"colour": "red"},
        {"priority": "high"},
        {"rule": "Path(`/{{x}}`)", "service": "a"},
        {"rule": "\ud800"},
        5,
        {"rule": 10**40, "service": "a"},
        {"rule": "Path(`/`)", "service": "a", "middlewares": ["m"] * 5_000},
    ],
)
def test_what_traefik_would_not_take_is_not_written(spec: object) -> None:
    with pytest.raises(EditError):
        set_resource(None, "http.routers", "a", spec)


@pytest.mark.parametrize(
    "text", ["no", "010", "0b11", "1_000", "2001-01-01", "", "~", "a: b", "# x", "é\u2028 \x85", "1e3"]
)
def test_text_is_read_back_as_the_same_text(text: str) -> None:
    spec = {"headers": {"customResponseHeaders": {"X-Text": text}}}
    after = set_resource(PERSONS_FILE, "http.middlewares", "text", spec)
    assert language.read_file("f.yaml", after)[0]["http.middlewares", "text"] == spec


names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).filter(lambda text: "{{" not in text)
routers = st.fixed_dictionaries(
    {"rule": texts, "service": names},
    optional={
        "entryPoints": st.lists(names, max_size=3),
        "priority": st.integers(-5, 5),
        "tls": st.fixed_dictionaries({}, optional={"certResolver": names}),
    },
)
comments = st.sampled_from(["", "# why", "# 'quoted", "# a: b"])


@st.composite
def persons_files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file of routers as people write them: comments everywhere, spaces to taste."""
    known = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    lines = [draw(comments), "http:", f"  {draw(comments)}", "  routers:"]
    for name in known:
        lines += [f"    {draw(comments)}", f"    {name}:  {draw(comments)}"]
        lines += [f"      rule: Host(`{name}`) {draw(comments)}", f"      {draw(comments)}", "      service: x"]
        if draw(st.booleans()):
            lines += ["      entryPoints:", f"      - web {draw(comments)}", f"      - two {draw(comments)}"]
        lines += [""] * draw(st.integers(0, 2))
    return "\n".join([*lines, draw(comments)]) + "\n" * draw(st.integers(0, 2)), known


@given(persons_files(), names, routers)
def test_setting_keeps_every_comment_and_every_other_resource(
    written: tuple[str, list[str]], name: str, spec: dict[str, object]
) -> None:
    text, _ = written
    before = language.read_file("f.yaml", text.encode())[0]
    after = set_resource(text.encode(), "http.routers", name, spec)
    assert language.read_file("f.yaml", after) == ({**before, ("http.routers", name): spec}, ())
    assert not Counter(document.comments(text)) - Counter(document.comments(after.decode()))


@given(persons_files(), st.data())
def test_changing_one_touches_no_line_of_another(written: tuple[str, list[str]], data: st.DataObject) -> None:
    text, known = written
    name, spec = data.draw(st.sampled_from(known)), data.draw(routers)
    after = set_resource(text.encode(), "http.routers", name, spec).decode()
    start = text.index(f"    {name}:  ")
    next_one = next((text.index(f"    {other}:  ") for other in known[known.index(name) + 1 :]), None)
    assert after.startswith(text[:start].rstrip("\n"))
    if next_one is not None:
        assert after.rstrip("\n").endswith(text[next_one:].rstrip("\n"))


@given(persons_files(), st.data())
def test_removing_one_leaves_the_others_as_they_were(written: tuple[str, list[str]], data: st.DataObject) -> None:
    text, known = written
    name = data.draw(st.sampled_from(known))
    before = language.read_file("f.yaml", text.encode())[0]
    after = remove_resource(text.encode(), "http.routers", name)
    before.pop(("http.routers", name))
    assert (language.read_file("f.yaml", after)[0] if after is not None else {}) == before
    if after is not None:
        left = [line for line in text.split("\n") if any(f"`{other}`" in line for other in known if other != name)]
        assert all(line in after.decode() for line in left)


def test_a_file_that_only_other_readers_can_read_is_left_as_it_is():
    text = "http:\n  middlewares:\n    m:\n      compress:\n        excludedContentTypes:\n          - imag\te/jpeg\n"
    with pytest.raises(EditError, match="by hand"):
        set_resource(text.encode(), "http.middlewares", "m", {"compress": {"minResponseBodyBytes": 7}}, file="r.yaml")
