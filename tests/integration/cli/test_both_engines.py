"""The commands that every engine has, on a real database and on a real broker: the same words do the same."""

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.ports import free_port
from tests.support.rabbitmq import PASSWORD
from workerpool.engines import SourceOptions, open_source
from workerpool.outcome import DeadLetter, DeadReason, Outcome, Retry
from workerpool.sources.base import Job, Settlement, Subscription

BROKER = "kestrel/4711@x"


@pytest.fixture(params=["postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def engine(request: pytest.FixtureRequest, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an engine whose server is empty and named by the environment."""
    name: str = request.param
    url = request.getfixturevalue("database") if name == "postgres" else request.getfixturevalue("vhost").url
    monkeypatch.setenv("WORKERPOOL_URL", url)
    return name


def settle(queue: str, outcome: Outcome) -> list[int]:
    """A runner takes all ready jobs of a queue and settles them; their ids."""

    async def work() -> list[int]:
        options = SourceOptions(
            url=os.environ["WORKERPOOL_URL"], boot=uuid4(), name="r", host="h", pid=1, version="1", slots=10,
            lease=30.0, retention=3600.0, clock=time.monotonic,
        )  # fmt: skip
        source = open_source(options)
        held: list[Job] = []
        await source.open([Subscription(queue, queue)], lambda: held)
        try:
            held += await source.claim({queue: 100})
            assert await source.settle([Settlement(job, outcome, 0.1, "notify") for job in held]) == []
            return sorted(job.id for job in held)
        finally:
            await source.close()

    return asyncio.run(work())


DEAD = DeadLetter(DeadReason.ERROR, "ValueError: no such thing")


def test_jobs_are_enqueued_listed_cancelled_and_keys_kept(shell: Shell, engine: str) -> None:
    first = shell("enqueue", "orders", '{"id": 1}', "--unique-key", "k", "--json").json
    assert (first["queue"], first["duplicate"]) == ("orders", False)
    assert shell("enqueue", "orders", "2", "--unique-key", "k").out == f"{first['id']}\n"
    later = int(shell("enqueue", "orders", "3", "--delay", 90, "--priority", 5).out)
    rows = shell("jobs", "list", "--json").json
    assert [(row["id"], row["state"], row["priority"]) for row in rows] == [
        (first["id"], "ready", 0), (later, "delayed", 5),
    ]  # fmt: skip
    assert shell("jobs", "show", later, "--json").json["state"] == "delayed"
    assert shell("jobs", "retry", later).out == f"job {later}: ready\n"
    assert shell("jobs", "cancel", first["id"], later).out == f"job {first['id']}: cancelled\njob {later}: cancelled\n"
    assert shell("jobs", "show", later, "--json").json["state"] == "cancelled"
    assert [row["id"] for row in shell("jobs", "list", "--json").json] == []
    assert shell("enqueue", "orders", "4", "--unique-key", "k", "--json").json["duplicate"] is False


def test_a_file_is_enqueued_in_order_or_refused_as_a_whole(shell: Shell, engine: str) -> None:
    Path("in.ndjson").write_text("".join(f'{{"n": {n}}}\n' for n in range(2500)))
    assert shell("enqueue", "orders", "--file", "in.ndjson").out == "2500 jobs enqueued on orders\n"
    ids = [row["id"] for row in shell("jobs", "list", "--state", "ready", "--limit", 150, "--json").json]
    assert ids == sorted(ids)
    assert len(ids) == 150
    refused = shell("enqueue", "parcels", "-", stdin=b"1\n{\n")
    assert refused.code == 2
    assert shell("jobs", "list", "--queue", "parcels").code == 2


def test_dead_letters_are_shown_redriven_and_dropped(shell: Shell, engine: str) -> None:
    for n in range(4):
        shell("enqueue", "orders", f'{{"n": {n}}}', "--header", "tenant=acme")
    ids = settle("orders", DEAD)
    rows = shell("dlq", "list", "orders", "--json").json
    assert [row["id"] for row in rows] == ids[::-1]
    assert rows[0]["body"] == {
        "original": {"n": 3}, "error": "ValueError: no such thing", "worker": "notify", "retries": 0,
    }  # fmt: skip
    assert shell("dlq", "show", ids[0], "--json").json == rows[3]
    assert "tenant" in shell("dlq", "show", ids[0]).out
    assert shell("dlq", "redrive", ids[1], 999).code == 1
    assert shell("dlq", "redrive", "orders", "--reason", "error", "--limit", 1).out == "1 dead letter redriven\n"
    assert shell("dlq", "drop", "orders").code == 2
    assert shell("dlq", "drop", "--all", "--yes", "--json").json == {"dropped": 2, "missing": 0}
    assert shell("dlq", "list").out == "No dead letters.\n"
    assert settle("orders", DEAD) == ids[:2]


def test_topics_and_doctor_name_a_queue_that_nobody_serves(shell: Shell, engine: str) -> None:
    assert shell("topics", "list").out == "No worker has subscribed to a topic.\n"
    settle("orders", DEAD)
    [topic] = shell("topics", "list", "--json").json
    assert (topic["topic"], topic["queue"], topic["jobs"]) == ("orders", "orders", 0)
    checks = {it["name"]: it for it in shell("doctor", "--json").json["checks"]}
    assert {checks[name]["level"] for name in ("connection", "version", "queues")} == {"ok"}


def test_a_refused_login_and_a_silent_server_show_no_password(
    shell: Shell, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = quote(BROKER, safe="")
    scheme = "postgresql" if engine == "postgres" else "amqp"
    monkeypatch.setenv("WORKERPOOL_URL", f"{scheme}://app:{secret}@127.0.0.1:{free_port()}/queue")
    for words in (("jobs", "list"), ("dlq", "list"), ("doctor",), ("enqueue", "orders", "1"), ("topics", "list")):
        result = shell(*words)
        assert result.code == (1 if words == ("doctor",) else 3)
        assert "127.0.0.1" in result.out + result.err
        assert BROKER not in result.out + result.err
        assert secret not in result.out + result.err


@pytest.mark.rabbitmq
def test_what_a_broker_cannot_do_it_says_with_the_cure(
    shell: Shell, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_URL", request.getfixturevalue("vhost").url)
    for words, said in (
        (("migrate",), "RabbitMQ has no schema and nothing to migrate; see `workerpool topology plan`"),
        (("jobs", "list", "--state", "in-flight"), "/health of a runner says how many it has"),
    ):
        result = shell(*words)
        assert result.code == 2
        assert said in result.err
        assert PASSWORD not in result.err
    assert "Not listed: jobs that runners hold" in shell("jobs", "list").err


@pytest.mark.rabbitmq
def test_a_login_that_a_broker_refuses_shows_no_password(shell: Shell, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("vhost").url
    wrong = url.replace("p%40ss%2Fword", quote(BROKER, safe=""))
    for words in (("jobs", "list"), ("doctor",), ("enqueue", "orders", "1")):
        result = shell(*words, "--url", wrong)
        assert result.code == (1 if words == ("doctor",) else 2)
        assert "refused the login" in result.out + result.err
        assert BROKER not in result.out + result.err
        assert quote(BROKER, safe="") not in result.out + result.err


def test_a_dead_letter_tells_when_its_job_was_first_enqueued_and_how_often_it_was_retried(
    shell: Shell, engine: str
) -> None:
    [id_] = [int(shell("enqueue", "orders", "1").out)]
    enqueued = datetime.now(UTC)
    for _ in range(2):
        settle("orders", Retry(60.0, "not now"))
        assert shell("jobs", "retry", id_).code == 0
    settle("orders", DEAD)
    [letter] = shell("dlq", "list", "orders", "--json").json
    assert (letter["id"], letter["retries"]) == (id_, 2)
    assert datetime.fromisoformat(letter["enqueuedAt"]) <= enqueued
    shown = shell("jobs", "show", id_, "--json").json
    assert (shown["attempts"], shown["enqueuedAt"]) == (2, letter["enqueuedAt"])


@pytest.mark.rabbitmq
def test_a_queue_of_another_program_is_named_and_then_looked_at(
    shell: Shell, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    vhost = request.getfixturevalue("vhost")
    monkeypatch.setenv("WORKERPOOL_URL", vhost.url)
    monkeypatch.setenv("WORKERPOOL_RABBITMQ_MANAGEMENT_URL", vhost.management_url)
    vhost.api("PUT", "queues/{}/legacy", {"durable": True})
    vhost.api("POST", "exchanges/{}/amq.default/publish", {
        "properties": {}, "routing_key": "legacy", "payload": "1", "payload_encoding": "string",
    })  # fmt: skip
    assert "queues that are not WorkerPool's: legacy (name one with --queue)" in shell("jobs", "list").err
    [row] = shell("jobs", "list", "--queue", "legacy", "--json").json
    assert (row["queue"], row["state"]) == ("legacy", "ready")
