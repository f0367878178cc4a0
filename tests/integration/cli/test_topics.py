"""`workerpool topics`: subscriptions that nobody serves any more are seen and ended."""

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.tables import Tables


@pytest.fixture
def left_behind(queue: Tables) -> Tables:
    """Two groups of the topic events with one job each; the group audit has no runner any more."""
    for group in ("events@audit", "events@mail"):
        queue.query("select workerpool.subscribe('events', %s)", group)
    queue.query(
        "insert into workerpool.runner (boot, name, host, pid, queues, slots, version) "
        "values (gen_random_uuid(), 'a', 'b', 1, '{events@mail}', 1, '1')"
    )
    queue.enqueue("events", [{"n": 1}])
    return queue


def rows(shell: Shell) -> list[tuple[str, str, int, bool]]:
    """What the list says."""
    found = shell("topics", "list", "--json").json
    return [(it["topic"], it["queue"], it["jobs"], it["served"]) for it in found]


def test_nothing_is_listed_before_a_worker_has_subscribed(shell: Shell, queue: Tables) -> None:
    assert shell("topics", "list").out == "No worker has subscribed to a topic.\n"
    assert rows(shell) == []


def test_an_unsubscribed_queue_gets_no_more_copies_and_keeps_its_jobs(shell: Shell, left_behind: Tables) -> None:
    assert rows(shell) == [("events", "events@audit", 1, False), ("events", "events@mail", 1, True)]
    result = shell("topics", "unsubscribe", "events", "events@audit")
    assert (result.code, result.out) == (0, "events@audit gets no more copies of events\n")
    assert "Its 1 jobs stay" in result.err
    left_behind.enqueue("events", [{"n": 2}])
    assert rows(shell) == [("events", "events@mail", 2, True)]
    assert [it["queue"] for it in shell("jobs", "list", "--queue", "events@audit", "--json").json] == ["events@audit"]


def test_a_queue_with_a_live_runner_stays_subscribed(shell: Shell, left_behind: Tables) -> None:
    result = shell("topics", "unsubscribe", "events", "events@mail")
    assert result.code == 1
    assert "events@mail: a runner consumes this queue; stop it first" in result.err
    assert len(rows(shell)) == 2
    left_behind.query("update workerpool.runner set seen_at = now() - interval '1 min'")
    assert shell("topics", "unsubscribe", "events", "events@mail", "--json").json["queue"] == "events@mail"


def test_an_unknown_subscription_is_named_with_those_there_are(shell: Shell, left_behind: Tables) -> None:
    result = shell("topics", "unsubscribe", "events", "audit")
    assert result.code == 2
    assert "'audit' gets no copies of 'events'; subscribed queues: events@audit, events@mail" in result.err


def test_the_doctor_names_a_forgotten_subscription(shell: Shell, left_behind: Tables) -> None:
    left_behind.query("update workerpool.job set available_at = now() - interval '5 min'")
    (check,) = [it for it in shell("doctor", "--json").json["checks"] if it["name"] == "queues"]
    assert check["level"] == "warn"
    assert check["detail"] == "events@audit: 1 ready for 5 min and no runner, gets copies of events"
    assert check["cure"].endswith("or end the copies: `workerpool topics unsubscribe events events@audit`")
