"""Who brought a commit to main, by the word of the Gitea that it was reviewed in; asked again where it could not say.

Nothing waits for that word but a policy that asks for several people: what was approved here while Gitea is away goes
on, and is counted as approved by nobody whom a system vouches for until Gitea says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from reconciler.git.main import Approval
from reconciler.gitea.api import GiteaError, Merge
from reconciler.secrets import without_secrets
from reconciler.world import ACTOR, World
from state import events, views
from state.log import Entry

PATIENCE: Final = timedelta(days=7)
"""How long a Gitea is asked that does not answer."""

MERGING: Final = timedelta(minutes=5)
"""How long a pull request may take to count as merged after its commit came to main."""


class Word(NamedTuple):
    """Who merged and approved a commit, as Gitea knows them; `doubt` is why it may say more later, "" where not.

    `is_silent`: where there is doubt, whether that is since it did not answer.
    """

    merge: Merge
    doubt: str = ""
    is_silent: bool = False


class _Question(NamedTuple):
    """Who brought this commit, of this proposal ("" for none), to main? It is known to be there `since` then."""

    commit: str
    proposal: str
    since: datetime


def of(world: World, found: Iterable[Approval]) -> Iterator[tuple[Approval, Word]]:
    """What Gitea says of commits that were just found on main."""
    approvals, now = list(found), world.clock.now()
    questions = [_Question(approval.commit, approval.proposal, now) for approval in approvals]
    yield from zip(approvals, _answers(world, questions), strict=True)


def ask_again(world: World) -> None:
    """Hear who brought what to main where Gitea could not say before."""
    if world.gitea is None:
        return
    questions = _open_questions(world)
    for asked, word in zip(questions, _answers(world, questions), strict=True):
        if word.doubt and world.clock.now() - asked.since < PATIENCE:
            continue
        told = events.ApproverTold(
            commit=asked.commit,
            by=without_secrets(word.merge.by),
            reviewers=tuple(map(without_secrets, word.merge.reviewers)),
            reason=_reason(word),
        )
        key = f"told:{asked.commit}:{asked.since.isoformat()}"
        world.log.append(Entry(stream="main", event=told, actor=ACTOR, key=key))


def merging(world: World) -> frozenset[str]:
    """The proposals whose pull requests may count as merged any moment."""
    return frozenset(asked.proposal for asked in _open_questions(world) if _is_recent(world, asked))


def _open_questions(world: World) -> list[_Question]:
    awaited = world.log.view(views.Approvals).awaited
    return [_Question(commit, one.proposal, one.since) for commit, one in awaited.items()]


def _answers(world: World, questions: Iterable[_Question]) -> Iterator[Word]:
    """What Gitea says to each. One that is silent now is not asked the others: each would take its time."""
    silence: Word | None = None
    for question in questions:
        word = silence or _answer(world, question)
        silence = word if word.is_silent else None
        yield word


def _answer(world: World, question: _Question) -> Word:
    if world.gitea is None:
        return Word(Merge())
    try:
        merge = world.gitea.merge_of(question.commit, world.branch)
    except GiteaError as error:
        return Word(Merge(), str(error), is_silent=error.is_silent)
    is_open = question.proposal in world.log.view(views.PullRequests).open()
    if is_open and not merge.by and _is_recent(world, question):
        # The branch moves a moment before the pull request counts as merged.
        return Word(merge, "its pull request does not count as merged yet")
    return Word(merge)


def _is_recent(world: World, question: _Question) -> bool:
    return world.clock.now() - question.since < MERGING


def _reason(word: Word) -> str:
    if word.doubt:
        return f"asked for {PATIENCE.days} days, and it did not say: {word.doubt}"
    return "Gitea says so now" if word.merge.by else "Gitea knows of no pull request that brought it"
