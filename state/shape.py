"""Whether a database file has the tables that we make, and nothing in it that acts on somebody else's behalf."""

from __future__ import annotations

from functools import cache

from state.database import Database, Format

_NEIGHBOURS = frozenset({"_litestream_seq", "_litestream_lock"})
"""Tables that Litestream keeps in every database it replicates; nothing of ours looks at them."""

_Object = tuple[str, str, str]


def strange(database: Database, kind: Format) -> str:
    """What is in the file and not in a new one of its kind, or the other way round; "" where there is nothing.

    A trigger would act on what we write, and a table that computes its rows might never come to an end.
    """
    found = {one for one in _objects(database) if one[:1] != ("table",) or one[1] not in _NEIGHBOURS}
    return ", ".join(sorted({f"{type} {name}" for type, name, _ in found ^ _ours(kind)}))


@cache
def _ours(kind: Format) -> frozenset[_Object]:
    made = Database(memory=True, execute_plugins=False)
    try:
        for step in kind.steps:
            step(made)
        return frozenset(_objects(made))
    finally:
        made.close()


def _objects(database: Database) -> set[_Object]:
    query = "SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    return {(type, name, " ".join(sql.split())) for type, name, sql in database.conn.execute(query)}
