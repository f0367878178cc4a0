"""What the handlers of tests/support/pod_app.py did, told by themselves: the truth that the product is held to."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from tests.support.tables import Tables

TABLE = """
create table run (
  id bigint generated always as identity primary key,
  n int not null,
  pod text not null,
  began timestamptz not null default clock_timestamp(),
  ended timestamptz,
  how text
)
"""
RELEASED = "create table released (name text primary key)"
"""What jobs wait for whose payload has a ``release``."""


@dataclass(frozen=True)
class Run:
    """One attempt at job ``n`` in ``pod``. ``how``: ``finished``, ``cut``, or None: it runs, or it was killed."""

    id: int
    n: int
    pod: str
    began: datetime
    ended: datetime | None
    how: str | None


def runs_of(tables: Tables) -> list[Run]:
    """Every run so far, in the order of their beginnings."""
    return [Run(**row) for row in tables.query("select * from run order by id")]


def settled(tables: Tables) -> int:
    """How many runs finished."""
    return int(tables.query("select count(*) as n from run where how = 'finished'")[0]["n"])


def release(tables: Tables, name: str) -> None:
    """Lets the jobs end that wait for this release."""
    tables.query("insert into released (name) values (%s)", name)


def assert_each_ran_once(runs: list[Run], count: int) -> None:
    """The jobs 0 to ``count`` - 1 ran: none lost, none twice, none cut off."""
    times = Counter(run.n for run in runs)
    assert sorted(set(range(count)) - set(times)) == [], "lost"
    assert {n: seen for n, seen in times.items() if seen != 1} == {}, "run more than once"
    assert [run for run in runs if run.how != "finished"] == []
