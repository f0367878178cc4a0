"""`workerpool enqueue`: one job, files, stdin, and everything that can be wrong with them."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.tables import Tables


def test_one_job_prints_its_id(shell: Shell, queue: Tables) -> None:
    result = shell("enqueue", "orders", '{"id": 1}')
    (job,) = queue.jobs()
    assert (result.code, result.out, result.err) == (0, f"{job['id']}\n", "")
    assert job["payload"] == {"id": 1}


def test_options_of_a_job_arrive(shell: Shell, queue: Tables) -> None:
    shell("enqueue", "orders", "[1]", "--priority", 7, "--expires-in", 60, "--header", "tenant=a=b", "--header", "x=")
    (job,) = queue.jobs()
    assert job["priority"] == 7
    assert job["headers"] == {"tenant": "a=b", "x": ""}
    assert 59 < (job["expires_at"] - job["enqueued_at"]).total_seconds() <= 60


def test_a_delayed_job_waits_apart(shell: Shell, queue: Tables) -> None:
    result = shell("enqueue", "orders", "1", "--delay", 90, "--json")
    (row,) = queue.query("select id, extract(epoch from due_at - enqueued_at)::int as delay from workerpool.delayed")
    assert row == {"id": result.json["id"], "delay": 90}


def test_a_unique_key_adds_nothing_twice(shell: Shell, queue: Tables) -> None:
    first = shell("enqueue", "orders", "1", "--unique-key", "k", "--json").json
    second = shell("enqueue", "orders", "2", "--unique-key", "k")
    assert first["duplicate"] is False
    assert second.out == f"{first['id']}\n"
    assert "Nothing was added" in second.err
    assert len(queue.jobs()) == 1


def test_a_topic_gives_each_group_its_copy(shell: Shell, queue: Tables) -> None:
    for group in ("a", "b"):
        queue.query("select workerpool.subscribe('events', %s)", f"events@{group}")
    shell("enqueue", "events", "1")
    assert len(queue.jobs()) == 2


def test_a_file_is_enqueued_in_order_and_blank_lines_are_nothing(shell: Shell, queue: Tables) -> None:
    Path("in.ndjson").write_text("".join(f'{{"n": {n}}}\r\n\n' for n in range(4500)) + '{"n": 4500}')
    result = shell("enqueue", "orders", "--file", "in.ndjson", "--priority", -3)
    assert (result.code, result.out, result.err) == (0, "4501 jobs enqueued on orders\n", "")
    jobs = queue.jobs()
    assert [job["payload"]["n"] for job in jobs] == list(range(4501))
    assert {job["priority"] for job in jobs} == {-3}


@pytest.mark.parametrize("words", [("-",), ("--file", "-")])
def test_stdin_is_a_file_too(shell: Shell, queue: Tables, words: tuple[str, ...]) -> None:
    assert shell("enqueue", "orders", *words, stdin=b'1\n"two"\n').out == "2 jobs enqueued on orders\n"
    assert [job["payload"] for job in queue.jobs()] == [1, "two"]


def test_bad_lines_are_named_and_nothing_is_enqueued(shell: Shell, queue: Tables) -> None:
    Path("in.ndjson").write_bytes(b'{"n": 1}\n{"n": \n\n"\xff"\n{"n": 2}\nNaN\n')
    result = shell("enqueue", "orders", "--file", "in.ndjson")
    assert result.code == 2
    assert [line.split(" ")[0] for line in result.err.splitlines()[:3]] == [
        "in.ndjson:2:",
        "in.ndjson:4:",
        "in.ndjson:6:",
    ]
    assert "3 of 5 lines are bad, nothing was enqueued" in result.err
    assert "--skip-invalid" in result.err
    assert queue.jobs() == []


def test_bad_lines_can_be_left_out(shell: Shell, queue: Tables) -> None:
    result = shell("enqueue", "orders", "-", "--skip-invalid", "--json", stdin=b"1\n{\n2\n")
    assert result.code == 0
    assert result.json == {"queue": "orders", "enqueued": 2, "skipped": 1}
    assert "stdin:2: not JSON" in result.err
    assert [job["payload"] for job in queue.jobs()] == [1, 2]


def test_many_bad_lines_are_counted_not_listed(shell: Shell, queue: Tables) -> None:
    result = shell("enqueue", "orders", "-", stdin=b"{\n" * 50)
    assert "stdin:20:" in result.err
    assert "stdin:21:" not in result.err
    assert "… and 30 more" in result.err


def test_what_the_server_refuses_takes_the_whole_file_back(shell: Shell, queue: Tables) -> None:
    """Deeper than the server's stack allows: found only after the first chunks were sent."""
    queue.query(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin if new.payload::text = '4000' then raise 'refused'; end if; return new; end $$"
    )
    queue.query("create trigger refuse before insert on workerpool.job for each row execute function refuse()")
    result = shell("enqueue", "orders", "-", stdin=b"".join(b"%d\n" % n for n in range(4100)))
    assert result.code == 1
    assert "refused" in result.err
    assert queue.jobs() == []


@pytest.mark.parametrize("size", [30, 31, 500])
def test_a_payload_may_have_its_limit_and_no_more(shell: Shell, queue: Tables, size: int) -> None:
    payload = json.dumps("x" * (size - 2))
    one = shell("enqueue", "orders", payload, "--max-payload", 30)
    many = shell("enqueue", "orders", "-", "--max-payload", 30, stdin=b"1\n" + payload.encode() + b"\n2\n")
    if size <= 30:
        assert (one.code, many.code) == (0, 0)
        assert len(queue.jobs()) == 4
    else:
        assert (one.code, many.code) == (2, 2)
        assert "over the limit of 30" in one.err
        assert "stdin:2: " in many.err
        assert "--max-payload" in many.err
        assert queue.jobs() == []


def test_the_limit_comes_from_the_environment_too(shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_MAX_PAYLOAD_BYTES", "5")
    assert shell("enqueue", "orders", '"12345"').code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("orders",), "Give one JSON value"),
        (("orders", "1", "--file", "x"), "Give one JSON value"),
        (("orders", "{"), "payload: not JSON"),
        (("orders", "Infinity"), "payload: not JSON"),
        (("orders", "1", "--priority", "101"), "priority: 101 is outside -100 to 100"),
        (("orders", "1", "--delay", "-1"), "delay: -1.0"),
        (("orders", "1", "--expires-in", "nan"), "expires_in: nan"),
        (("orders", "1", "--header", "novalue"), "--header: 'novalue' is not NAME=VALUE"),
        (("", "1"), "queue: ''"),
        (("orders", "--file", "missing.ndjson"), "missing.ndjson: No such file"),
        (("orders", "--file", "."), "Is a directory"),
        (("orders", "--file", "-", "--unique-key", "k"), "--unique-key"),
    ],
)
def test_bad_input_is_explained_before_anything_is_sent(
    shell: Shell, nowhere: str, words: tuple[str, ...], said: str
) -> None:
    result = shell("enqueue", *words)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
