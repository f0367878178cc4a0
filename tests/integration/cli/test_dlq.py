"""`workerpool dlq`: which dead letters, and what becomes of them."""

import pytest

from tests.integration.cli.conftest import Shell
from tests.integration.cli.test_jobs import BOOT, claim
from tests.support.tables import Tables


def bury(queue: Tables, name: str, count: int, reason: str = "error", topic: str | None = None) -> list[int]:
    """Dead letters, made as a runner makes them; their ids."""
    ids = queue.enqueue(name, [{"n": n} for n in range(count)])
    claim(queue, name)
    queue.query(
        'update workerpool.job set attempts = 3, crashes = 1, headers = \'{"tenant": "acme"}\' where id = any(%s)', ids
    )
    queue.query(
        "select workerpool.finish(%s, array_agg(queue_id order by id), array_agg(priority order by id), "
        "array_agg(id order by id), array_agg(claim order by id), array_agg(5), array_agg('dead'::text), "
        "array_agg(0::float8), array_agg(%s::text), array_agg('ValueError: no such thing'::text), "
        "array_agg('notify'::text), array_agg(null::json), case when %s::text is not null then array_agg(id) end, "
        "case when %s::text is not null then array_agg(%s::text) end, "
        "case when %s::text is not null then array_agg('{}'::json) end) "
        "from workerpool.job where id = any(%s)",
        BOOT, reason, topic, topic, topic, topic, ids,
    )  # fmt: skip
    return ids


def test_list_and_show_give_the_documented_body(shell: Shell, queue: Tables) -> None:
    (job_id,) = bury(queue, "orders", 1)
    (row,) = shell("dlq", "list", "orders", "--json").json
    assert row["body"] == {"original": {"n": 0}, "error": "ValueError: no such thing", "worker": "notify", "retries": 3}
    assert shell("dlq", "show", job_id, "--json").json == row
    text = shell("dlq", "show", job_id).out
    assert 'Payload:      {"n": 0}' in text
    assert "Retries:      3, 1 crashes" in text
    assert "  ValueError: no such thing" in text


def test_list_filters_and_limits(shell: Shell, queue: Tables) -> None:
    bury(queue, "orders", 3)
    timed_out = bury(queue, "orders", 1, "timeout")
    other = bury(queue, "mails", 1)
    assert [row["id"] for row in shell("dlq", "list", "--json", "--limit", 2).json] == [*other, *timed_out]
    assert [row["id"] for row in shell("dlq", "list", "--reason", "timeout", "--json").json] == timed_out
    assert len(shell("dlq", "list", "orders", "--json").json) == 4
    assert shell("dlq", "list", "mails", "--reason", "crashed").out == "No dead letters.\n"


def test_redrive_puts_the_job_back_as_it_was(shell: Shell, queue: Tables) -> None:
    queue.query("select workerpool.enqueue('orders', '1', p_priority => 4::smallint)")
    (job_id,) = bury(queue, "orders", 1)
    assert shell("dlq", "redrive", "orders").out == "1 dead letter redriven\n"
    job = next(job for job in queue.jobs() if job["id"] == job_id)
    assert (job["attempts"], job["crashes"], job["payload"], job["headers"], job["leased"]) == (
        0, 0, {"n": 0}, {"tenant": "acme"}, None,
    )  # fmt: skip
    assert queue.dead() == []


def test_redrive_goes_by_ids_reason_and_limit(shell: Shell, queue: Tables) -> None:
    ids = bury(queue, "orders", 4)
    (timed_out,) = bury(queue, "orders", 1, "timeout")
    assert shell("dlq", "redrive", ids[3], ids[1]).code == 0
    assert shell("dlq", "redrive", "orders", "--reason", "timeout").out.startswith("1 ")
    assert shell("dlq", "redrive", "--all", "--limit", 1, "--json").json == {"redriven": 1, "missing": 0}
    assert {job["id"] for job in queue.jobs()} == {ids[3], ids[1], timed_out, ids[0]}
    assert [row["id"] for row in queue.dead()] == [ids[2]]


def test_redrive_in_batches_takes_all_of_them(shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workerpool.sources.postgres.admin.BATCH", 7)
    bury(queue, "orders", 50)
    assert shell("dlq", "redrive", "orders", "--json").json["redriven"] == 50
    assert len(queue.jobs()) == 50


def test_what_a_dead_letter_topic_has_is_redriven_only_when_asked_for(shell: Shell, queue: Tables) -> None:
    bury(queue, "orders", 2, topic="orders.dlq")
    assert shell("dlq", "redrive", "orders").out == "0 dead letters redriven\n"
    assert shell("dlq", "redrive", "orders", "--forwarded").out == "2 dead letters redriven\n"


def test_an_id_that_is_no_dead_letter_is_told(shell: Shell, queue: Tables) -> None:
    (job_id,) = bury(queue, "orders", 1)
    result = shell("dlq", "redrive", job_id, 999)
    assert (result.code, result.out) == (1, "1 dead letter redriven\n")
    assert "1 of the IDs are no dead letters" in result.err


def test_drop_asks_first(shell: Shell, queue: Tables) -> None:
    bury(queue, "orders", 3)
    refused = shell("dlq", "drop", "orders")
    assert refused.code == 2
    assert "pass --yes" in refused.err
    assert len(queue.dead()) == 3
    assert shell("dlq", "drop", "orders", "--yes").out == "3 dead letters dropped\n"
    assert queue.dead() == []
    assert queue.jobs() == []


def test_a_queue_whose_name_is_a_number_has_its_option(shell: Shell, queue: Tables) -> None:
    bury(queue, "2024", 2)
    assert shell("dlq", "redrive", "2024").code == 1
    assert shell("dlq", "redrive", "--queue", "2024").out == "2 dead letters redriven\n"


@pytest.mark.parametrize(
    "words", [(), ("orders", "--all"), ("1", "orders"), ("orders", "--queue", "x"), ("99999999999999999999",), ("0",)]
)
def test_unclear_targets_are_refused(shell: Shell, nowhere: str, words: tuple[str, ...]) -> None:
    for verb in ("redrive", "drop"):
        assert shell("dlq", verb, *words).code == 2
