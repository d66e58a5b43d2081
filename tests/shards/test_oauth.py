"""Access tokens of an issuer: a real one on loopback, with keys, a discovery document, and bad days."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shards import oauth
from shards.access import Caller, TurnedAway
from shards.oauth import Authority, Issuer, IssuerError
from tests import dripping, plain_http
from tests.shards.serving import ERAS, ROUTE, Waypost
from tests.shards.test_limits import Watch

MakeWaypost = Callable[..., Waypost]
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream"}
RESOURCE = "https://waypost.example.org/mcp"


@dataclass
class Auth:
    """An issuer. `keys`: what it publishes, by id; `asked` counts questions for them."""

    url: str
    keys: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    down: bool = False
    claims: dict[str, Any] = field(default_factory=dict)
    published: list[Any] = field(default_factory=list)  # beside the keys
    knocked: threading.Event = field(default_factory=threading.Event)
    speaks: threading.Event = field(default_factory=threading.Event)

    def token(self, key: str = "one", algorithm: str = "ES256", signer: Any = None, **changed: Any) -> str:
        claims = {
            "iss": self.url,
            "aud": RESOURCE,
            "sub": "ada-7",
            "preferred_username": "ada",
            "scope": "openid waypost:propose",
            "exp": datetime.now(UTC) + timedelta(minutes=5),
            **changed,
        }
        held = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(held, signer or self.keys[key], algorithm=algorithm, headers={"kid": key})

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """While this lasts, whoever asks waits for an answer."""
        self.speaks.clear()
        try:
            yield
        finally:
            self.speaks.set()

    @property
    def issuer(self) -> Issuer:
        return Issuer(url=self.url, audiences=(RESOURCE,), resource=RESOURCE)


@pytest.fixture
def auth() -> Iterator[Auth]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            one.knocked.set()
            one.speaks.wait(30)
            body = {"issuer": one.url, "jwks_uri": f"{one.url}jwks"}
            if self.path.endswith("/jwks"):
                one.asked += 1
                body = {"keys": [*one.published, *(_public(name, key) for name, key in one.keys.items())]}
            self.send_response(503 if one.down else 200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    one = Auth(
        f"http://127.0.0.1:{server.server_address[1]}/o/waypost/", {"one": ec.generate_private_key(ec.SECP256R1())}
    )
    one.speaks.set()
    yield one
    server.shutdown()
    server.server_close()


def _public(name: str, key: Any) -> dict[str, Any]:
    kind = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}


@pytest.fixture
def authority(auth: Auth) -> Authority:
    return Authority(auth.issuer, oauth.over_tls(None), Watch())


def knock(waypost: Waypost, token: str = "", path: str = "/mcp", **headers: str) -> httpx2.Response:
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    return plain_http.post(waypost.url + path, json=LIST, headers={**ACCEPT, **shown, **headers})


@pytest.mark.parametrize("era", ERAS)
def test_who_may_propose_at_the_issuer_may_propose_here(make_waypost: MakeWaypost, auth: Auth, era: str) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    assert not waypost.call("traefik_create_route", era, token=auth.token(), **ROUTE).is_error
    assert all(row.actor.startswith("oauth:ada (") for row in waypost.outbox())


def test_who_may_only_read_sees_nothing_that_writes(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    token = auth.token(scope="waypost:read")
    assert "traefik_create_route" not in {tool.name for tool in waypost.tools(token=token).tools}
    assert waypost.call("traefik_create_route", token=token, **ROUTE).structured_content["code"] == "forbidden"  # type: ignore[index]


def test_what_came_later_than_the_scopes_is_opened_by_a_scope_of_its_own(authority: Authority, auth: Auth) -> None:
    new = {"shard": "traefik", "tool": "traefik_new", "writes": False, "since": 2}
    without, granted = (
        authority.judge(auth.token(scope=f"waypost:read {more}")) for more in ("", "waypost:tool:traefik_new")
    )
    assert isinstance(without, Caller) and isinstance(granted, Caller)
    assert (without.may(**new), granted.may(**new)) == (False, True)
    assert "scope waypost:tool:traefik_new" in without.opened_by("traefik_new")


def test_a_scope_for_a_shard_or_a_tool_opens_no_more_of_its_role_than_that(
    make_waypost: MakeWaypost, auth: Auth
) -> None:
    waypost = make_waypost(issuer=auth.issuer)

    def tools(*scopes: str) -> dict[str, bool]:
        """Those of this token, and whether they write."""
        listed = waypost.tools(token=auth.token(scope=" ".join(scopes))).tools
        return {tool.name: not tool.annotations.read_only_hint for tool in listed}

    everything, reading = tools("waypost:propose"), tools("waypost:read")
    of_traefik = {name: writes for name, writes in everything.items() if name.startswith("traefik_")}
    assert tools("waypost:propose:traefik") == of_traefik and any(of_traefik.values())
    assert tools("waypost:read:traefik").keys() == reading.keys() & of_traefik.keys()
    assert tools("waypost:read:traefik_list_routes", "waypost:read:why").keys() == {"traefik_list_routes", "why"}
    assert tools("waypost:read:why", "waypost:propose:traefik_create_route") == {
        "why": False,
        "traefik_create_route": True,
    }
    assert tools("waypost:read", "waypost:propose:traefik_create_route") == {**reading, "traefik_create_route": True}
    assert tools("waypost:read:traefik_create_route", "waypost:propose:why").keys() == {"why"}
    assert tools("waypost:read:traefik", "waypost:propose") == everything, "what scopes give adds up"


def test_what_a_narrow_scope_does_not_name_is_refused_when_it_is_called(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    token = auth.token(scope="waypost:propose:traefik_update_route waypost:read:gateway")
    for tool, arguments in {"traefik_create_route": ROUTE, "traefik_list_routes": {}}.items():
        assert waypost.refusal(tool, token=token, **arguments)["code"] == "forbidden"
    assert waypost.answer("gateway_status", token=token) and not waypost.proposals


@pytest.mark.parametrize("scope", ["waypost:read:", "waypost:propose:", "waypost:reader", "waypost:tool:why"])
def test_a_scope_that_names_nothing_opens_nothing(authority: Authority, auth: Auth, scope: str) -> None:
    turned = authority.judge(auth.token(scope=scope))
    assert isinstance(turned, TurnedAway) and turned.status == 403


def test_a_narrow_scope_opens_what_came_later_by_its_name_only(authority: Authority, auth: Auth) -> None:
    new = {"shard": "traefik", "tool": "traefik_new", "writes": True, "since": 2}
    of_shard, of_tool = (
        authority.judge(auth.token(scope=f"waypost:read {one}"))
        for one in ("waypost:propose:traefik", "waypost:propose:traefik_new")
    )
    assert isinstance(of_shard, Caller) and isinstance(of_tool, Caller)
    assert (of_shard.may(**new), of_tool.may(**new)) == (False, True)


def test_a_client_without_a_token_finds_out_where_to_get_one(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    answer = knock(waypost)
    assert answer.status_code == 401, "loopback is no reason any more"
    told = answer.headers["WWW-Authenticate"]
    assert f'resource_metadata="https://waypost.example.org{oauth.METADATA}/mcp"' in told
    for place in (oauth.METADATA, f"{oauth.METADATA}/mcp"):
        metadata = plain_http.get(waypost.url + place).json()
        assert (metadata["resource"], metadata["authorization_servers"]) == (RESOURCE, [auth.url])


def test_nobody_reads_where_that_is_by_a_name_that_a_stranger_brought(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer, public_urls=("https://waypost.example.org",))
    for place in (oauth.METADATA, f"{oauth.METADATA}/mcp"):
        for host, status in {"waypost.example.org": 200, "gateway:9100": 200, "evil.example.net": 421}.items():
            answer = plain_http.get(waypost.url + place, headers={"Host": host})
            assert answer.status_code == status, host
        page = {"Host": "waypost.example.org", "Origin": "https://evil.example.net"}
        assert plain_http.get(waypost.url + place, headers=page).status_code == 403


def test_tokens_of_waypost_open_it_all_the_same(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    assert knock(waypost, waypost.token("claude")).status_code == 200


def test_without_a_scope_of_ours_nobody_comes_in(make_waypost: MakeWaypost, auth: Auth) -> None:
    answer = knock(make_waypost(issuer=auth.issuer), auth.token(scope="openid profile"))
    assert answer.status_code == 403 and 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"aud": "somebody-else"}, "meant for somebody else"),
        ({"aud": None}, "aud"),
        ({"iss": "https://evil.example.org"}, "another issuer"),
        ({"exp": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": None}, "sub"),
        ({"nbf": datetime(2099, 1, 1, tzinfo=UTC)}, "not valid"),
    ],
)
def test_a_token_that_is_not_for_us_or_not_for_now_is_turned_away(
    authority: Authority, auth: Auth, changed: dict[str, Any], words: str
) -> None:
    turned = authority.judge(auth.token(**changed))
    assert isinstance(turned, TurnedAway) and words in turned.reason


def test_a_token_that_somebody_else_signed_is_turned_away(authority: Authority, auth: Auth) -> None:
    for forged in (
        auth.token(signer=ec.generate_private_key(ec.SECP256R1())),
        auth.token(key="two", signer=rsa.generate_private_key(65537, 2048), algorithm="RS256"),
        jwt.encode({"iss": auth.url, "sub": "x"}, "", algorithm="none", headers={"kid": "one"}),
        jwt.encode({"iss": auth.url, "sub": "x"}, "s" * 64, algorithm="HS256", headers={"kid": "one"}),
        "no.token.at-all",
        "x" * 10_000,
        "",
    ):
        assert isinstance(authority.judge(forged), TurnedAway)


def test_a_new_key_of_the_issuer_is_found_and_strange_ones_do_not_make_it_ask_and_ask(
    authority: Authority, auth: Auth
) -> None:
    assert not isinstance(authority.judge(auth.token()), TurnedAway)
    auth.keys["two"] = rsa.generate_private_key(65537, 2048)
    fresh = auth.token(key="two", algorithm="RS256")
    for _ in range(20):
        assert isinstance(authority.judge(fresh), TurnedAway)
    assert auth.asked == 1
    authority.clock.passed += 31  # type: ignore[attr-defined]
    assert not isinstance(authority.judge(fresh), TurnedAway)
    assert auth.asked == 2


def test_an_issuer_that_is_down_for_a_while_keeps_nobody_out_and_not_for_ever(authority: Authority, auth: Auth) -> None:
    token = auth.token(exp=datetime.now(UTC) + timedelta(days=9))
    assert not isinstance(authority.judge(token), TurnedAway)
    auth.down = True
    authority.clock.passed += 7200  # type: ignore[attr-defined]
    assert not isinstance(authority.judge(token), TurnedAway)
    authority.clock.passed += 86_400  # type: ignore[attr-defined]
    with pytest.raises(IssuerError, match="cannot be asked"):
        authority.judge(token)


def test_whose_key_is_known_does_not_wait_while_a_stranger_makes_it_ask(auth: Auth) -> None:
    asking, answered, slow = threading.Event(), threading.Event(), threading.Event()
    ask = oauth.over_tls(None)

    def fetch(url: str) -> bytes:
        if slow.is_set():
            asking.set()
            assert answered.wait(30)
        return ask(url)

    authority = Authority(auth.issuer, fetch, Watch())
    assert not isinstance(authority.judge(auth.token()), TurnedAway)
    slow.set()
    authority.clock.passed += 31  # type: ignore[attr-defined]
    auth.keys["strange"] = ec.generate_private_key(ec.SECP256R1())
    with ThreadPoolExecutor() as workers:
        try:
            stranger = workers.submit(authority.judge, auth.token(key="strange"))
            assert asking.wait(30)
            assert isinstance(workers.submit(authority.judge, auth.token()).result(timeout=5), Caller)
            assert not stranger.done()
        finally:
            answered.set()
    assert isinstance(stranger.result(), Caller), "the key was a new one"


def test_while_nobody_can_tell_nobody_is_let_in(make_waypost: MakeWaypost, auth: Auth) -> None:
    auth.down = True
    waypost = make_waypost(issuer=auth.issuer)
    assert knock(waypost, auth.token()).status_code == 503
    assert knock(waypost, waypost.token("claude")).status_code == 200


def test_strangers_take_no_threads_from_those_who_are_let_in(make_waypost: MakeWaypost, auth: Auth) -> None:
    waypost = make_waypost(issuer=auth.issuer)
    token = waypost.token("claude")
    with ThreadPoolExecutor(60) as strangers, auth.silent():
        knocking = [strangers.submit(knock, waypost, auth.token(sub=str(number))) for number in range(60)]
        assert auth.knocked.wait(30)
        assert not waypost.call("gateway_status", token=token).is_error
        assert not any(one.done() for one in knocking), "nobody waits any more, so this proves nothing"


def test_strangers_keep_nobody_out_whose_key_is_known(make_waypost: MakeWaypost, auth: Auth) -> None:
    watch = Watch()
    waypost = make_waypost(issuer=auth.issuer, clock=watch)
    assert knock(waypost, auth.token()).status_code == 200
    watch.passed += 31
    auth.knocked.clear()
    strange = auth.token(key="strange", signer=auth.keys["one"])
    with ThreadPoolExecutor(20) as strangers, auth.silent():
        knocking = [strangers.submit(knock, waypost, strange) for _ in range(20)]
        assert auth.knocked.wait(30)
        assert [knock(waypost, auth.token(sub=str(number))).status_code for number in range(3)] == [200] * 3
        assert not any(one.done() for one in knocking), "nobody waits any more, so this proves nothing"
    assert {one.result().status_code for one in knocking} == {401}


def test_an_issuer_that_says_it_is_another_is_not_believed(authority: Authority, auth: Auth) -> None:
    auth.url += "other/"
    with pytest.raises(IssuerError, match="says of itself"):
        authority.judge(auth.token())


@pytest.mark.parametrize("odd", [{"kty": "oct", "alg": "HS256", "kid": "x"}, {"kty": ["RSA"]}, {}, None, "EC"])
def test_a_key_that_is_none_keeps_no_other_key_out(authority: Authority, auth: Auth, odd: Any) -> None:
    auth.published = [odd]
    assert isinstance(authority.judge(auth.token()), Caller)


def test_a_key_signs_nothing_once_its_secret_half_is_published(authority: Authority, auth: Auth) -> None:
    kept, told = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    auth.keys = {"kept": kept}
    auth.published = [{**jwt.algorithms.ECAlgorithm.to_jwk(told, as_dict=True), "kid": "told"}]
    assert isinstance(authority.judge(auth.token(key="kept")), Caller)
    assert isinstance(authority.judge(auth.token(key="told", signer=told)), TurnedAway)


@pytest.mark.parametrize(
    "address", ["http://[", "http://127.0.0.1:99999/", f"http://127.0.0.1:{'9' * 99}/", "http://::0/"]
)
def test_an_address_that_is_none_is_not_asked(address: str) -> None:
    with pytest.raises(IssuerError, match="no address"):
        oauth.over_tls(None)(address)


def test_nothing_is_asked_over_a_way_that_others_can_change() -> None:
    with pytest.raises(IssuerError, match="no https address"):
        oauth.over_tls(None)("http://auth.example.org/.well-known/openid-configuration")


@dataclass
class Flood:
    """An issuer that goes on and on; `sent` counts what it got rid of until nobody listened any more."""

    headers: dict[str, str] = field(default_factory=dict)
    piece: bytes = b" " * 65_536
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def asked(self) -> str:
        """How the fetch of its answer fails."""

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in flood.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while flood.sent < MUCH and not flood.over.is_set():
                        self.wfile.write(flood.piece)
                        flood.sent += len(flood.piece)
                flood.over.set()

            def log_message(self, *_: object) -> None:
                pass

        flood = self
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(IssuerError) as caught:
                oauth.over_tls(None, 30.0)(f"http://127.0.0.1:{server.server_address[1]}/jwks")
            assert self.over.wait(60)
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()
        return str(caught.value)


MUCH = 256 << 20


def test_of_an_answer_that_is_too_large_no_more_is_read_than_shows_that() -> None:
    flood = Flood()
    assert "answers too much" in flood.asked()
    assert flood.sent < MUCH / 4, "what the buffers of the sockets hold, and no more"


@pytest.mark.parametrize("begin", dripping.PARTS.values(), ids=dripping.PARTS)
def test_of_an_answer_that_comes_too_slowly_the_end_is_not_waited_for(begin: bytes) -> None:
    with dripping.dripping(begin) as peer, pytest.raises(IssuerError, match="answers too slowly"):
        oauth.over_tls(None, 0.2)(f"{peer.url}/jwks")
    assert peer.outlasted == 0


def test_what_is_packed_though_nobody_asked_for_that_is_not_unpacked() -> None:
    packed = gzip.compress(b" " * (2 << 20))
    assert "not asked for" in Flood(headers={"Content-Encoding": "gzip"}, piece=packed).asked()
