"""Jobs as messages: everything about a job survives, and foreign messages are understood."""

from datetime import UTC, datetime

import pytest

from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.deadletters import (
    BARE,
    MOST_ERROR,
    DeadJob,
    decode_dead,
    encode_again,
    encode_dead,
    smaller,
)
from workerpool.sources.rabbitmq.envelope import (
    Envelope,
    Invalid,
    Properties,
    copy_id,
    decode,
    encode,
    envelope_of,
    new_envelope,
)
from workerpool_contract.job import DeadLetterBody

NOW = 1_800_000_000.0
FULL = Envelope(
    "orders", 2**62, ' {"ü": 1e400} ', 1_800_000_000_123, 3, 2, -7, '{"t": "\\u0000 ☃"}', 1_800_000_060_000, 9, "k ☃"
)


def fresh() -> int:
    return 42


def read(body: bytes, properties: Properties, max_payload: int = 0) -> Envelope | Invalid:
    return decode("orders", body, properties, now=NOW, fresh=fresh, max_payload=max_payload)


@pytest.mark.parametrize("job", [FULL, Envelope("orders", 1, "null", 5)], ids=["all fields", "defaults"])
def test_a_job_survives_the_way_through_a_message(job: Envelope) -> None:
    body, headers = encode(job)
    assert read(body, Properties(headers)) == job


def test_defaults_take_no_room() -> None:
    _, headers = encode(Envelope("orders", 1, "null", 5))
    assert set(headers) == {"workerpool-id", "workerpool-enqueued"}


def test_a_new_job_is_claimable_when_its_delay_is_over() -> None:
    job = new_envelope("orders", 1, NewJob("1", delay=2.5, expires_in=10, priority=3, unique_key="k"), NOW)
    assert (job.enqueued, job.due, job.expires) == (1_800_000_002_500, 1_800_000_002_500, 1_800_000_010_000)
    at_once = new_envelope("orders", 1, NewJob("1"), NOW)
    assert (at_once.enqueued, at_once.due, at_once.expires) == (1_800_000_000_000, None, None)


def test_a_foreign_message_gets_the_defaults() -> None:
    sent = datetime(2027, 1, 15, 7, 59, tzinfo=UTC)
    headers = {"tenant": "a", "raw": b"\xff", "x-death": [{"count": 1}], "x-delivery-count": 2, "at": sent}
    job = read(b'{"n": 1}', Properties(headers, "application/json; charset=utf-8", timestamp=sent))
    assert isinstance(job, Envelope)
    assert (job.id, job.payload, job.attempts, job.priority, job.due) == (42, '{"n": 1}', 0, 0, None)
    assert job.headers == '{"tenant": "a", "raw": "\ufffd", "at": "2027-01-15T07:59:00+00:00"}'
    assert job.enqueued == sent.timestamp() * 1000
    bare = read(b"1", Properties({}))
    assert isinstance(bare, Envelope)
    assert (bare.headers, bare.enqueued) == (None, NOW * 1000)


@pytest.mark.parametrize("kind", [None, "", "application/json", "application/x.y+json", "text/plain", "Text/JSON; a=b"])
def test_what_may_be_json_is_taken(kind: str | None) -> None:
    assert isinstance(read(b"1", Properties({}, kind)), Envelope)


@pytest.mark.parametrize(
    ("body", "properties", "word"),
    [
        (b"\xff{}", Properties({}), "UTF-8"),
        (b"<a/>", Properties({}, "application/xml"), "content type 'application/xml'"),
        (b"1", Properties({}, "application/json", "gzip"), "content encoding 'gzip'"),
        (b"12345", Properties({}), "5 bytes, over the limit of 4"),
    ],
    ids=["no text", "content type", "content encoding", "too large"],
)
def test_what_can_be_no_job_is_refused_in_words(body: bytes, properties: Properties, word: str) -> None:
    refused = read(body, properties, max_payload=4)
    assert isinstance(refused, Invalid)
    assert word in refused.why
    assert refused.body == body


def test_headers_of_another_kind_are_not_believed() -> None:
    job = read(b"1", Properties({"workerpool-id": 5, "workerpool-attempts": "3", "workerpool-key": 7}))
    assert isinstance(job, Envelope)
    assert (job.attempts, job.key) == (0, None)
    assert envelope_of("orders", "1", Properties({"workerpool-id": True}), NOW, fresh).id == 42


def test_the_copies_of_a_message_have_ids_of_their_own() -> None:
    ids = {copy_id(2**62 + n, queue) for n in range(100) for queue in ("a@x", "a@y", "b")}
    assert len(ids) == 300
    assert all(0 < id_ < 2**63 for id_ in ids)
    assert copy_id(7, "a") == copy_id(7, "a")


@pytest.mark.parametrize(
    ("payload", "raw"),
    [('{"a": [1e400, "\\ud800"]}', None), ('no json, "original":1}', None), ("", b"\xff\x00"), ("NaN", None)],
    ids=["json", "text", "bytes", "nan"],
)
def test_a_dead_letter_keeps_the_payload_as_it_was(payload: str, raw: bytes | None) -> None:
    letter = DeadJob(FULL._replace(payload=payload), "error", 'no "original": \udc80 ☃', "w", 7, raw)
    body, headers = encode_dead(letter)
    assert decode_dead("orders", body, Properties(headers), NOW, fresh) == letter
    if "ud800" not in payload:
        read_by_others = DeadLetterBody.model_validate_json(body.replace(b"\\udc80", b"?"))
        assert (read_by_others.worker, read_by_others.retries) == ("w", 3)


@pytest.mark.parametrize(
    ("payload", "raw"), [('{"a": 1}', None), ("no json", None), ("", b"\xff\x00")], ids=["json", "text", "bytes"]
)
def test_a_dead_letter_as_it_came_says_the_same_in_headers(payload: str, raw: bytes | None) -> None:
    letter = DeadJob(FULL._replace(payload=payload, headers='{"t": "x"}'), "error", "no ☃", "w", 7, raw)
    whole, table, bare = smaller(letter)
    for body, headers in (whole, table):
        assert body == (raw or payload.encode())
        properties = Properties(headers | {"x-death": [{"count": 1}]})
        assert decode_dead("orders", body, properties, NOW, fresh) == letter
        assert encode_again(letter, properties) == whole
    assert table[1]["t"] == "x"
    read_bare = decode_dead("orders", bare[0], Properties(bare[1]), NOW, fresh)
    assert read_bare == letter._replace(
        envelope=letter.envelope._replace(headers=None, key=None), error=letter.error + BARE
    )


@pytest.mark.parametrize("headers", [None, "3", "no json", '{"x-death": 1}', '{"workerpool-id": 1}'])
def test_headers_that_mean_something_else_to_a_broker_become_no_table(headers: str | None) -> None:
    assert len(list(smaller(DeadJob(FULL._replace(headers=headers), "error", "", "w", 7)))) == 2


def test_the_error_of_a_dead_letter_as_it_came_fits_into_a_frame() -> None:
    *_, (_, headers) = smaller(DeadJob(FULL, "error", "\udc80" * 200_000, "w", 7))
    assert headers["workerpool-error"] == "?" * (MOST_ERROR - len(BARE)) + BARE


def test_what_the_broker_buried_is_a_dead_letter_too() -> None:
    died = datetime(2027, 1, 15, tzinfo=UTC)
    letter = decode_dead("orders", b'{"n": 1}', Properties({"x-death": [{"time": died}]}), NOW, fresh)
    assert (letter.reason, letter.envelope.payload, letter.died) == ("crashed", '{"n": 1}', died.timestamp() * 1000)
    assert decode_dead("orders", b"\xff", Properties({}), NOW, fresh).raw == b"\xff"


def test_what_was_rejected_is_not_said_to_have_crashed() -> None:
    body, headers = encode(FULL)
    letter = decode_dead("orders", body, Properties({**headers, "x-death": [{"reason": "rejected"}]}), NOW, fresh)
    assert (letter.reason, letter.error.startswith("rejected by another")) == ("error", True)
    assert letter.envelope == FULL
