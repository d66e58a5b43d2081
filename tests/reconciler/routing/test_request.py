"""What rules see of a request, and what Traefik answers before it asks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.routing import urls
from reconciler.routing.request import Door, Refused, Request, Seen, look, split_host


def seen(request: Request, door: Door | None = None) -> Seen:
    arrived = look(request, door or Door())
    assert isinstance(arrived, Seen), arrived
    return arrived


def test_a_url_is_the_request_that_a_client_makes_for_it() -> None:
    request = Request.of_url("POST", "https://Git.Test:8443/a b?x=ä#part", [("X-A", "é")])
    assert request == Request(
        method="POST", target="/a%20b?x=%C3%A4", host="Git.Test:8443", headers=(("X-A", "\xc3\xa9"),), tls=True
    )
    assert request.url == "https://Git.Test:8443/a%20b?x=%C3%A4"
    assert Request.of_url("GET", "http://bücher.test").host == "xn--bcher-kva.test"
    assert Request.of_url("GET", "http://u:p@a.test").host == "a.test"


def test_a_header_named_host_is_the_host() -> None:
    request = Request.of_url("GET", "http://127.0.0.1/x", [("host", "a.test"), ("X-A", "v")])
    assert (request.host, request.headers) == ("a.test", (("X-A", "v"),))


@pytest.mark.parametrize("url", ["/x", "a.test/x", "ftp://a.test", "http://", ""])
def test_what_is_no_address_is_no_request(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Request.of_url("GET", url)


def test_rules_see_a_request_as_traefik_hands_it_on() -> None:
    arrived = seen(Request(target="/a/../b%20c?k=v;k&x=%zz", host="A.Test:81", headers=(("x-a", " v "), ("X-A", "w"))))
    assert (arrived.method, arrived.host, arrived.path) == ("GET", "a.test", "/b c")
    assert arrived.query == {"k": ("v", "")}
    assert arrived.headers == {
        "X-A": ("v", "w"),
        "X-Real-Ip": ("127.0.0.1",),
        "X-Forwarded-Proto": ("http",),
        "X-Forwarded-Port": ("81",),
        "X-Forwarded-Host": ("A.Test:81",),
    }


def test_only_trusted_peers_say_how_a_request_came() -> None:
    sent = (("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "5.6.7.8"), ("X-Forwarded-Proto", "https"))
    request = Request(host="a.test", headers=sent, client_ip="10.1.2.3")
    assert "X-Forwarded-For" not in seen(request).headers
    trusted = seen(request, Door(trusted=("10.0.0.0/8",))).headers
    assert trusted["X-Forwarded-For"] == ("1.2.3.4, 5.6.7.8",)
    assert (trusted["X-Forwarded-Proto"], trusted["X-Forwarded-Port"]) == (("https",), ("443",))
    assert "X-Forwarded-For" not in seen(request, Door(trusted=("11.0.0.0/8", "::/0"))).headers


def test_over_tls_the_scheme_and_the_port_say_so() -> None:
    headers = seen(Request(host="a.test", tls=True)).headers
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Port"]) == (("https",), ("443",))
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    assert seen(Request(host="a.test", tls=True, headers=upgrade)).headers["X-Forwarded-Proto"] == ("wss",)


def test_the_name_of_traefiks_machine_is_said_where_it_is_known() -> None:
    assert "X-Forwarded-Server" not in seen(Request()).headers
    assert seen(Request(), Door(hostname="proxy")).headers["X-Forwarded-Server"] == ("proxy",)


def test_an_escape_that_the_entry_point_bars_is_answered_by_whoever_takes_the_request() -> None:
    door = Door(barred=frozenset("/\\"))
    barred = ["/a%2Fb", "/a%2fb", "/a\\b", "/a/%2e%2e%2Fx"]
    assert [seen(Request(target=target), door).barred for target in barred] == [True] * 4
    assert not seen(Request(target="/a%25?x=%2F"), door).barred
    assert not seen(Request(target="/a%2Fb")).barred


def test_more_parameters_than_go_reads_are_none() -> None:
    assert len(seen(Request(target="/?" + "&".join(["a"] * 10_000))).query["a"]) == 10_000
    assert seen(Request(target="/?" + "&".join(["a"] * 10_001))).query == {}


def test_without_cleaning_a_path_stays_as_it_came() -> None:
    assert seen(Request(target="/a//../b/%2e"), Door(sanitize_path=False)).path == "/a//../b/."


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("a:80", ("a", "80")),
        ("a", ("a", "")),
        ("[::1]:80", ("::1", "80")),
        ("[::1]", ("::1", "")),
        ("::1", ("::1", "")),
        ("[a:80]", ("a:80", "")),
        ("[a]b:80", ("[a]b:80", "")),
        ("a]:80", ("a]:80", "")),
        ("[a]", ("[a]", "")),
        (":80", ("", "80")),
        ("", ("", "")),
    ],
)
def test_a_host_is_split_from_its_port_as_go_does(host: str, parts: tuple[str, str]) -> None:
    assert split_host(host) == parts


wire_text = st.text(st.characters(max_codepoint=255), max_size=20)


@given(
    st.builds(
        Request,
        method=wire_text,
        target=wire_text | wire_text.map("/{}".format) | wire_text.map("http://{}".format),
        host=st.none() | wire_text,
        headers=st.lists(st.tuples(wire_text, wire_text), max_size=3).map(tuple),
        client_ip=wire_text,
    )
)
def test_no_bytes_at_all_make_it_fall_over(request_: Request) -> None:
    arrived = look(request_, Door(trusted=("10.0.0.0/8",), barred=frozenset("/")))
    if isinstance(arrived, Refused):
        assert arrived.status in (200, 400, 417, 501)
    else:
        assert arrived.headers is arrived.headers
        assert arrived.query is arrived.query
        arrived.path.encode("utf-8", "surrogateescape")


@given(st.text("/.a%2Ef5C{é", max_size=12))
def test_a_cleaned_path_is_clean(text: str) -> None:
    path = "/" + text.encode().decode("latin-1")
    try:
        target = urls.read(path, (3, 7, 15))
    except urls.BadTarget:
        return
    escaped = urls.arriving(target, (3, 7, 15))
    assert urls.clean(escaped) == escaped
    assert "//" not in escaped
    assert not {".", ".."} & set(escaped.split("/"))
