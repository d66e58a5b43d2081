"""No secret in what is shown or recorded."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.redact import COVERED, cover, covered, redact, secrets, telling

MIDDLEWARE = {
    "basicAuth": {"users": ["ada:$2y$05$abcdefgh"], "realm": "home"},
    "headers": {"Authorization": "Bearer x1y2"},
}


def test_values_under_telling_keys_are_covered_and_the_rest_is_not():
    shown = redact(MIDDLEWARE)
    assert shown == {"basicAuth": {"users": COVERED, "realm": "home"}, "headers": {"Authorization": COVERED}}


def test_a_secret_that_a_target_quotes_is_covered():
    assert cover("error parsing BasicUser: ada:$2y$05$abcdefgh", [MIDDLEWARE]) == f"error parsing BasicUser: {COVERED}"
    assert "$2y$05$abcdefgh" not in cover("bad hash $2y$05$abcdefgh", [MIDDLEWARE])


@given(st.text(min_size=3), st.text())
def test_whatever_the_secret_is_it_does_not_survive(secret, around):
    assert secret not in cover(around + secret, [{"password": secret}]).replace(COVERED, "")


def test_paths_to_secrets_are_telling():
    assert telling("basicAuth.users.0")
    assert not telling("loadBalancer.servers.0.url")


HEADERS = {
    "headers": {
        "customRequestHeaders": {"X-Api": "k3y", "X-Forwarded-Proto": "https", "X-Gone": ""},
        "customResponseHeaders": {"X-Internal": "k3y", "Cache-Control": "no-store"},
        "frameDeny": True,
    }
}


def test_values_of_headers_are_covered_but_for_those_that_say_nothing():
    shown = redact(HEADERS)["headers"]
    assert shown["customRequestHeaders"] == {"X-Api": COVERED, "X-Forwarded-Proto": "https", "X-Gone": ""}
    assert shown["customResponseHeaders"] == {"X-Internal": COVERED, "Cache-Control": "no-store"}
    assert shown["frameDeny"] is True
    assert secrets(HEADERS) == ["headers.customRequestHeaders.X-Api", "headers.customResponseHeaders.X-Internal"]


def test_what_a_plugin_takes_and_what_a_health_check_sends_is_covered():
    shown = redact({"plugin": {"gate": {"anything": {"deep": "k3y"}, "on": True}}})
    assert shown == {"plugin": {"gate": {"anything": COVERED, "on": COVERED}}}
    check = {"loadBalancer": {"healthCheck": {"path": "/", "headers": {"X-Key": "k3y", "Host": "a.lab"}}}}
    assert redact(check)["loadBalancer"]["healthCheck"]["headers"] == {"X-Key": COVERED, "Host": "a.lab"}


def test_secrets_inside_a_text_are_covered_and_the_rest_of_it_stays():
    assert redact({"address": "http://ada:k3y@auth.lab/verify?x=1&token=k3y#top"}) == {
        "address": f"http://{COVERED}@auth.lab/verify?x=1&token={COVERED}#top"
    }
    key = "-----BEGIN EC PRIVATE KEY-----\nk3y\n-----END EC PRIVATE KEY-----"
    assert redact({"tls": {"key": key, "cert": "/certs/a.pem"}}) == {"tls": {"key": COVERED, "cert": "/certs/a.pem"}}


def test_the_same_value_is_covered_wherever_a_part_of_the_resource_is_shown():
    at = ("headers", "customRequestHeaders")
    assert redact({"X-Api": "k3y"}, at) == {"X-Api": COVERED} and telling("headers.customRequestHeaders.X-Api")
    assert not telling("headers.frameDeny")


def test_answers_lose_what_a_target_quotes_at_any_depth():
    told = {"words": ["! a would match and serves nothing: bad header k3y"], "status": 404}
    assert covered(told, [HEADERS]) == {
        "words": [f"! a would match and serves nothing: bad header {COVERED}"],
        "status": 404,
    }


def test_a_label_that_holds_a_secret_is_covered_however_labels_are_written():
    hashed = "ada:$$apr1$$q8eZFHjF$$Fvmkk"
    name = "traefik.http.middlewares.a.basicauth.users"
    for labels in ({name: hashed, "note": "x"}, [f"{name}={hashed}", "note=x"]):
        spec = {"services": {"web": {"labels": labels}}}
        assert "Fvmkk" not in str(redact(spec)) and "x" in str(redact(spec))
        assert secrets(spec) == [f"services.web.labels.{name}"]
        assert "Fvmkk" not in cover(f"cannot read {hashed}", [spec])
