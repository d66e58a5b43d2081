"""What people would lose, and who has to agree."""

import pytest

from reconciler.core import guard
from reconciler.core.effects import Answering, Effect, Effects, Gone, Reached
from reconciler.core.plan import ABSENT, Change
from reconciler.core.policy import Policy, parse
from state.model import Address

PUBLIC = parse({"guards": {"public_entry_points": ["websecure"]}})[0]


def named(*names):
    return tuple(f"traefik/http.routers/{name}" for name in names)


def by(*names, asks=False):
    return Answering(routes=named(*names), asks=asks)


NOBODY, WHO_KNOWS = Answering(), Answering(known=False)


def effect(before, after, *, host="x.lab", hosts=(), door="web", **more):
    told = f"`GET http://{host}/` changes hands"
    return Effect(told=told, host=host, hosts=hosts or (host,), entry_point=door, before=before, after=after, **more)


def hosts(total, gone, *, lately=(), left=1):
    lost = tuple(
        Gone(host=f"{n}.lab", route=named(f"r{n}")[0], told=f"{n}.lab would no longer be served") for n in range(gone)
    )
    return Effects(gone=lost, lately=tuple(lately), hosts=total, routes=total + len(lately), left=left)


def changed(name, kind="http.routers", want=ABSENT):
    action = "delete" if want is ABSENT else "update"
    return Change(address=Address("traefik", kind, name), base={}, want=want, live={}, action=action)


def losses(effects, changes=(), policy=None, **more):
    effects = Effects(all=tuple(effects)) if not isinstance(effects, Effects) else effects
    return guard.losses("traefik", effects, changes, policy or Policy(), **more)


def levels(effects, changes=(), policy=None):
    return sorted({(loss.guard, loss.level) for loss in losses(effects, changes, policy)})


# ── host names ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("total", "removed", "level"),
    [(1, 1, "allowed"), (2, 1, "allowed"), (2, 2, "shown"), (9, 8, "shown"), (100, 3, "allowed"), (100, 4, "shown")],
)
def test_removed_hostnames_are_counted_absolutely_and_relatively_small_homes_included(total, removed, level):
    assert levels(hosts(total, removed)) == [("hostnames", level)]


def test_small_losses_that_nobody_saw_add_up_and_the_refusal_says_so():
    assert levels(hosts(5, 2)) == [("hostnames", "allowed")]
    found = losses(hosts(5, 2, lately=["a.lab", "b.lab", "c.lab"]))
    assert {loss.level for loss in found} == {"shown"}
    assert "1.lab would no longer be served, after a.lab, b.lab, c.lab went" in str(refused(found[1])[0])
    assert {loss.key for loss in found} == {loss.key for loss in losses(hosts(5, 2))}


def test_a_host_that_is_opened_is_not_also_told_as_one_that_lost_its_route():
    gone = Gone(host="x.lab", route=named("a")[0], told="x.lab would no longer be served on web")
    opened = effect(by("a", asks=True), by("all"))
    assert levels(Effects(all=(opened,), gone=(gone,), hosts=1)) == [("authentication", "shown")]


def test_the_last_route_of_several_needs_a_persons_word_but_a_single_one_does_not():
    assert ("empty", "consent") in levels(hosts(2, 2, left=0))
    assert levels(hosts(1, 1, left=0)) == [("hostnames", "allowed")]
    assert ("empty", "consent") in levels(hosts(1, 1, lately=["b.lab"], left=0))


def test_nothing_left_needs_a_persons_word_however_small_the_home():
    assert [loss.level for loss in guard.emptied("traefik", {"one": 1}, {})] == ["consent"]
    assert guard.emptied("traefik", {}, {}) == []
    assert guard.emptied("traefik", {"one": 1}, {"two": 2}) == []


# ── who is asked ─────────────────────────────────────────────────────────────────────────────────


def test_requests_that_were_asked_and_are_not_any_more_are_a_loss_that_names_both_ways():
    (loss,) = losses([effect(by("a", asks=True), by("new"))])
    assert (loss.guard, loss.level, loss.address) == ("authentication", "shown", "traefik/http.routers/a")
    assert loss.lost == "x.lab would answer without authentication, through traefik/http.routers/new"
    assert loss.told == loss.lost  # the effect, with its request, stands beside it


def test_a_tie_in_which_one_way_is_open_is_a_loss_of_authentication():
    assert levels([effect(by("a", asks=True), by("a", "new"))]) == [("authentication", "shown")]


def test_requests_that_are_still_asked_or_were_never_or_get_no_answer_are_none():
    still, never, nobody = effect(by("a", asks=True), by("b", asks=True)), effect(by("a"), by("b")), by("a", asks=True)
    assert levels([still, never, effect(nobody, NOBODY)]) == []


def test_what_nobody_can_tell_counts_as_open():
    (loss,) = losses([effect(by("a", asks=True), WHO_KNOWS, unknown="old syntax")])
    assert (loss.guard, loss.level) == ("authentication", "shown")
    assert "nobody can tell: old syntax" in loss.lost


def test_the_same_loss_seen_by_several_witnesses_is_one():
    twice = [effect(by("a", asks=True), by("new"), door=door) for door in ("web", "websecure")]
    assert len(losses(twice)) == 1


# ── what the internet reaches ────────────────────────────────────────────────────────────────────


def test_what_somebody_newly_answers_at_a_public_entry_point_is_a_loss_where_the_policy_names_some():
    new = {"door": "websecure", "exposed": ("x.lab",)}
    (loss,) = losses([effect(NOBODY, by("a"), **new)], policy=PUBLIC)
    assert (loss.guard, loss.level, loss.address) == ("exposure", "shown", "traefik/http.routers/a")
    assert loss.lost == "x.lab would newly be reachable on the public entry point websecure"
    assert levels([effect(NOBODY, by("a"), door="web", exposed=("x.lab",))], policy=PUBLIC) == []
    assert levels([effect(NOBODY, by("a"), door="websecure")], policy=PUBLIC) == []
    assert levels([effect(NOBODY, by("a"), **new)]) == []


def test_a_host_that_is_exposed_by_one_of_its_paths_is_told_once_and_another_by_itself():
    new = effect(NOBODY, by("a"), host="x.lab/a", door="websecure", exposed=("x.lab/a",))
    reached = [Reached(host=host, route=named("a")[0], entry_point="websecure") for host in ("x.lab", "y.lab")]
    found = losses(Effects(all=(new,), reached=tuple(reached)), policy=PUBLIC)
    assert [loss.lost.split(" ")[0] for loss in found] == ["x.lab/a", "y.lab"]


def test_a_host_of_which_nobody_knows_whether_others_answered_may_be_exposed():
    reached = Reached(host="x.lab", route=named("a")[0], entry_point="websecure", certain=False)
    (loss,) = losses(Effects(reached=(reached,)), policy=PUBLIC)
    assert loss.lost == "x.lab may newly be reachable on the public entry point websecure"


# ── what is protected ────────────────────────────────────────────────────────────────────────────


def test_a_protected_route_needs_a_persons_word():
    assert levels([], [changed("gitea")]) == [("protected", "consent")]


def test_protection_does_not_mind_capitals():
    assert levels([], [changed("Gitea")]) == [("protected", "consent")]
    assert levels([], [changed("gitea")], parse({"protected": ["*/*/Gitea"]})[0]) == [("protected", "consent")]


def test_where_nothing_is_protected_nothing_is():
    assert levels([], [changed("gitea")], parse({"protected": []})[0]) == []


def test_requests_of_a_protected_route_that_another_may_get_need_a_persons_word():
    for after in (by("z"), by("gitea", "z")):
        (loss,) = losses([effect(by("gitea"), after)])
        assert (loss.guard, loss.level, loss.address) == ("protected", "consent", "traefik/http.routers/z")
        assert "x.lab in place of traefik/http.routers/gitea" in loss.lost


def test_requests_of_a_protected_route_that_get_no_answer_or_nobody_knows_which_need_one_too():
    for after, words in ((NOBODY, "nobody would"), (WHO_KNOWS, "nobody can tell who would: hidden")):
        (loss,) = losses([effect(by("gitea"), after, unknown="" if after is NOBODY else "hidden")])
        assert (loss.level, loss.address) == ("consent", "traefik/http.routers/gitea")
        assert words in loss.lost


def test_requests_that_stay_with_a_protected_route_are_no_loss():
    assert levels([effect(by("gitea"), by("gitea"))]) == []


def test_what_a_protected_route_needs_is_protected_with_it():
    auth = changed("allow", "http.middlewares", {"x": 1})
    (loss,) = losses([], [auth], needed={str(auth.address)})
    assert (loss.guard, loss.level, loss.address) == ("protected", "consent", str(auth.address))


# ── agreement ────────────────────────────────────────────────────────────────────────────────────


def refused(loss, *, shown=(), consented=(), strict=False):
    return guard.refusals([loss], shown=shown, consented=consented, digest="d" * 64, commit="c" * 40, strict=strict)


def test_a_loss_within_limits_passes_but_not_unseen_in_a_commit_whose_plan_was_shown():
    loss = losses(hosts(1, 1))[0]
    assert not refused(loss)
    assert refused(loss, strict=True)
    assert not refused(loss, strict=True, shown={loss.key})


def test_a_large_loss_passes_once_it_was_shown_or_consented_to():
    loss = losses([effect(by("a", asks=True), by("a"))])[0]
    assert refused(loss)
    assert not refused(loss, shown={loss.key})
    assert not refused(loss, consented={loss.key})


def test_a_protected_loss_passes_only_by_consent_and_the_refusal_says_how():
    loss = losses([], [changed("gitea")])[0]
    (refusal,) = refused(loss, shown={loss.key})
    assert "waypost approve cccccccccccc --plan dddddddddddd" in str(refusal)
    assert "traefik/http.routers/gitea" in str(refusal)
    assert not refused(loss, consented={loss.key})


# ── what a yes is about ──────────────────────────────────────────────────────────────────────────


def test_a_yes_is_about_what_causes_the_loss_not_only_about_the_example_that_is_told():
    one, other = (losses([effect(by("a", asks=True), by("n"), stake=stake)])[0] for stake in "xy")
    assert one.lost == other.lost
    assert one.key != other.key


def test_what_is_told_in_the_same_words_is_one_loss_with_all_that_causes_it():
    opened = [effect(by("a", asks=True), by("n"), stake=stake) for stake in "xy"]
    (both,) = losses(opened)
    assert both.key not in {losses([one])[0].key for one in opened}


def test_a_yes_to_a_change_of_what_is_protected_is_about_that_change():
    policy = parse({"protected": ["*/http.routers/a"]})[0]
    one, other = (losses([], [changed("a", want={"rule": rule})], policy)[0] for rule in "xy")
    assert (one.lost, one.guard) == (other.lost, "protected")
    assert one.key != other.key
