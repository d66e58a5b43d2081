"""Dataclasses that write their methods late are dataclasses in all else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from dataclasses import field

import pytest

from state.sparing import dataclass


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that was."""


@dataclass(frozen=True, kw_only=True)
class Built(Fact):
    where: str
    by: tuple[str, ...] = ()
    parts: dict[str, int] = field(default_factory=dict)
    cost: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    number: int = 1

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a place has a name")


@dataclass
class Count:
    seen: int
    of: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False, repr=False)
class Thing:
    name: str


def test_values_are_made_compared_kept_and_shown_as_those_of_any_dataclass() -> None:
    one, same = Built(where="here", by=("a",), cost=1), Built(where="here", by=("a",), cost=2)
    assert one == same
    assert one != Built(where="there")
    assert one != Place("here")
    assert repr(one) == "Built(where='here', by=('a',), parts={})"
    assert {Place("a"), Place("a", 1), Place("b")} == {Place("b"), Place("a")}
    assert Count(1) == Count(1, [])
    assert Count(1).of is not Count(1).of
    assert Thing("a") != Thing("a")
    assert "Thing(" not in repr(Thing("a"))


@pytest.mark.parametrize("value", [Built(where="here", by=("b",)), Place("a", 3), Count(2, ["b"])], ids=repr)
def test_values_are_copied_replaced_and_kept_elsewhere(value: Built | Place | Count) -> None:
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert dataclasses.replace(value) == value
    assert dataclasses.asdict(value)


def test_the_fields_are_known_before_any_value_is_made() -> None:
    @dataclass(frozen=True)
    class Never:
        name: str
        of: int = 3

    assert [each.name for each in dataclasses.fields(Never)] == ["name", "of"]
    assert Never.__match_args__ == ("name", "of")
    assert dataclasses.is_dataclass(Never)


def test_what_is_frozen_does_not_change_and_what_is_wrong_is_refused() -> None:
    for value in (Built(where="here"), Place("a")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.where = "there"  # type: ignore[misc, union-attr]
        with pytest.raises(dataclasses.FrozenInstanceError):
            del value.name  # type: ignore[misc, union-attr]
    with pytest.raises(TypeError, match=r"Built\.__init__\(\) missing 1 required keyword-only argument: 'where'"):
        Built()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="has a name"):
        Place("")
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count(1))


def test_a_method_that_a_class_has_of_its_own_stays() -> None:
    @dataclass(frozen=True)
    class Quiet:
        secret: str

        def __repr__(self) -> str:
            return "***"

    assert repr(Quiet("hush")) == "***"
    assert Quiet("hush") == Quiet("hush")


def test_what_a_frozen_class_inherits_from_is_frozen_the_same_way() -> None:
    with pytest.raises(TypeError, match="cannot inherit frozen dataclass from a non-frozen one"):

        @dataclasses.dataclass(frozen=True)
        class Stranger(Fact):  # type: ignore[misc]
            name: str


def test_the_first_values_of_a_class_may_be_made_by_many_threads_at_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Shared:
        name: str
        number: int

    made: list[Shared] = []
    ready = threading.Barrier(8)

    def make(number: int) -> None:
        ready.wait()
        made.append(Shared("a", number % 2))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert set(made) == {Shared("a", 0), Shared("a", 1)}


_WRITTEN = """
import types
from state import events
print([name for name, each in events.EVENTS.items() if isinstance(vars(each)["__init__"], types.FunctionType)])
"""


def test_no_method_of_an_event_is_written_before_there_is_one() -> None:
    done = subprocess.run([sys.executable, "-c", _WRITTEN], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("own", ["__init__", "__eq__", "__hash__", "__setattr__", "__delattr__"])
def test_a_class_that_brings_its_own_of_what_is_written_is_refused(own: str) -> None:
    with pytest.raises(TypeError, match=own):
        dataclass(frozen=True)(type("Own", (), {own: lambda self, *_: None}))
