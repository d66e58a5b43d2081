"""The files that go back, chosen from values alone."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.handover.giving_back import REST, Kept, choose
from reconciler.traefik import language

NOTHING = frozenset()


def resources(*names, rule="Path(`/`)"):
    return {("http.routers", name): {"rule": rule, "service": "noop@internal"} for name in names}


def kept(file, *names, to="", rule="Path(`/`)"):
    return Kept(file=file, content=f"text of {file} {to}".encode(), resources=resources(*names, rule=rule), to=to)


def files(given):
    return {one.file: one.to for one in given}


def test_an_original_that_still_says_what_is_live_goes_back_under_its_name():
    given = choose(resources("a"), [kept("a.toml", "a", to="o/a.toml")], [kept("a.yaml", "a")], NOTHING)
    assert files(given) == {"a.toml": "o/a.toml"}


def test_an_original_that_says_something_else_stays_away_and_the_desired_file_takes_its_place():
    old = kept("a.yml", "a", to="o/a.yml", rule="Path(`/old`)")
    (one,) = choose(resources("a"), [old], [kept("a.yml", "a")], NOTHING)
    assert (one.file, one.to, one.content) == ("a.yml", "", b"text of a.yml ")


def test_a_desired_file_that_grew_is_not_torn_between_its_original_and_a_new_file():
    given = choose(resources("a", "b"), [kept("a.yml", "a", to="o/a.yml")], [kept("a.yml", "a", "b")], NOTHING)
    assert files(given) == {"a.yml": ""}


def test_of_two_originals_from_one_place_the_later_goes_back():
    both = [kept("a.yml", "a", to="o/a.yml"), kept("a.yml", "a", to="o.2/a.yml")]
    assert files(choose(resources("a"), both, [], NOTHING)) == {"a.yml": "o.2/a.yml"}


def test_what_is_live_and_desired_by_no_file_is_written_out_and_no_name_is_taken_twice():
    given = choose(resources("a", "b"), [], [kept("a.yml", "a", "gone")], frozenset({"a.yaml", REST}))
    assert set(files(given)) == {"a-2.yaml", "waypost-live-2.yaml"}


some = st.frozensets(st.sampled_from("abcdef"), min_size=1).map(sorted)


@given(some, st.lists(some, max_size=4), st.lists(some, max_size=4))
def test_the_files_together_hold_exactly_what_is_live(live, originals, wanted):
    at_hand = {f"o{n}": resources(*names) for n, names in enumerate(originals)}
    given = choose(
        resources(*live),
        [kept(f"{n}.yml", *names, to=f"o{n}") for n, names in enumerate(originals)],
        [Kept(file=f"w{n}.yml", content=b"http: {}", resources=resources(*names)) for n, names in enumerate(wanted)],
        NOTHING,
    )
    held = {}
    for one in given:
        if one.to:
            held |= at_hand[one.to]
        elif one.content == b"http: {}":
            held |= resources(*wanted[int(one.file[1:].split(".")[0].split("-")[0])])
        else:
            held |= language.read_file(one.file, one.content)[0]
    assert held == resources(*live)
    assert len({one.file for one in given}) == len(given)
