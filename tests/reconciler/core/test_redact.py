"""No secret in what is shown or recorded."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.redact import COVERED, cover, redact, telling

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
