"""Records become messages that a broker takes, whatever jobs said."""

import json
from typing import Any

from workerpool.sources.rabbitmq.streamrecords import MESSAGE_BYTES, RECORD_BYTES, TEXT_BYTES, bodies, records_of

MARGIN = 2000


def test_few_records_are_one_message() -> None:
    records = [{"id": number, "error": "ä\ud800"} for number in range(512)]
    [body] = bodies(records)
    assert records_of(body) == records
    assert list(bodies([])) == []


def test_many_large_records_are_messages_of_a_bounded_size() -> None:
    records = [{"id": number, "payload": "x" * 40_000} for number in range(512)]
    messages = list(bodies(records))
    assert [it for body in messages for it in records_of(body)] == records
    assert max(map(len, messages)) <= MESSAGE_BYTES + MARGIN
    assert len(messages) < 512 / 10


def test_what_a_job_said_at_too_great_a_length_is_cut_with_a_note() -> None:
    said = {"id": 7, "result": json.dumps("r" * 20_000_000), "error": "e" * 600_000, "payload": "{}", "headers": None}
    [body] = bodies([said, {"event": 8, "data": json.dumps("d" * 600_000)}])
    assert len(body) <= TEXT_BYTES
    cut, event = records_of(body)
    assert cut == said | {
        "result": '"20000006 bytes, too large for the history"',
        "error": "600002 bytes, too large for the history",
    }
    assert json.loads(event["data"]) == "600006 bytes, too large for the history"


def test_a_large_payload_is_kept_and_one_too_large_for_a_message_is_not() -> None:
    kept: dict[str, Any] = {"id": 7, "payload": "p" * 2_000_000, "headers": "{}"}
    [body] = bodies([kept])
    assert records_of(body) == [kept]
    [body] = bodies([kept | {"payload": "ä" * (RECORD_BYTES // 4)}])
    assert records_of(body) == [{"id": 7}]


def test_no_message_is_larger_than_the_broker_takes() -> None:
    said = {"result": json.dumps("r" * 9_000), "error": "e" * 9_000, "data": json.dumps("d" * 9_000)}
    records: list[dict[str, Any]] = [{"id": number, "payload": "p" * 4_000, "headers": None} for number in range(9)]
    records += [
        {"id": 9, "payload": "p" * 25_000, "headers": "{}"},
        {"id": 10, "payload": "{}", "headers": None} | said,
    ]
    messages = list(bodies(records, 20_000))
    assert max(map(len, messages)) <= 20_000
    found = [it for body in messages for it in records_of(body)]
    assert found[:9] == records[:9]
    assert found[9] == {"id": 9}
    assert found[10]["error"] == "9002 bytes, too large for the history"
    assert [it["id"] for it in found] == list(range(11))
