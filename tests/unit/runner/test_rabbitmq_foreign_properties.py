"""Whatever a foreign program puts into a message's properties, the connection lives and the message can be settled."""

import json
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header

from tests.unit.runner.test_rabbitmq_deliveries import Reader, delivery
from workerpool.sources.rabbitmq.basicproperties import DEEPEST, read_properties
from workerpool.sources.rabbitmq.envelope import UNREADABLE, Envelope, Invalid, Properties
from workerpool.sources.rabbitmq.messages import Arrival, job_of
from workerpool.sources.rabbitmq.outcomes import waiting
from workerpool.sources.rabbitmq.outgoing import Outgoing, encode
from workerpool.sources.rabbitmq.readable import readable_header, readable_method

START = 7 + 14
"""Where the properties begin in the frame of a content header, behind their flags."""
HUGE = struct.pack(">Q", 1_795_363_852_929_000)

moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds
    lambda it: it.replace(microsecond=0)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.decimals(0, 10_000, places=2),
    st.text(max_size=20),
    st.binary(max_size=20).map(bytearray),
    moments,
)
names = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=1, max_size=20) | st.sampled_from(
    ["workerpool-id", "workerpool-enqueued", "workerpool-due", "workerpool-key", "x-delivery-count", "☃"]
)
tables = st.dictionaries(
    names,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)),
    max_size=6,
)
short = st.none() | st.text(max_size=20)
properties = st.builds(
    commands.Basic.Properties,
    content_type=short,
    content_encoding=short,
    headers=st.none() | tables,
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.none() | st.integers(0, 9),
    correlation_id=short,
    reply_to=short,
    expiration=short,
    message_id=short,
    timestamp=st.none() | moments,
    app_id=short,
)


def said(given_: commands.Basic.Properties, size: int = 1) -> bytes:
    """The frame of a content header."""
    return frame.marshal(header.ContentHeader(0, size, given_), 1)


def read(whole: bytes) -> Properties:
    return read_properties(int.from_bytes(whole[START - 2 : START], "big"), whole, START, len(whole) - 1)


def by_pamqp(whole: bytes) -> Properties:
    found = frame.unmarshal(whole)[2]
    assert isinstance(found, header.ContentHeader)
    it = found.properties
    return Properties(it.headers or {}, it.content_type, it.content_encoding, it.message_id, it.timestamp)


def framed(payload: bytes) -> bytes:
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


def with_table(table: bytes) -> bytes:
    """The frame of a content header whose only property are headers, encoded already."""
    return framed(struct.pack(">HHQH", 60, 0, 1, 1 << 13) + struct.pack(">I", len(table)) + table)


def settled(found: Properties) -> Envelope | Invalid:
    """The job of the message, after it was republished and buried as a runner would."""
    arrival = Arrival("orders", "orders", 1, True, "", "orders", found, b"1")
    job = job_of(arrival, 1_800_000_000.0, lambda: 42)
    envelope = job.envelope if isinstance(job, Invalid) else job
    assert encode(Outgoing("", "orders", b"1", dict(waiting_headers(envelope))), "m", 1, 4088).frames
    json.loads(envelope.headers or "null")
    datetime.fromtimestamp(envelope.enqueued / 1000 - 60, UTC)
    return job


def waiting_headers(envelope: Envelope) -> dict[str, Any]:
    return waiting(envelope._replace(crashes=envelope.crashes + 1), 5.0).headers


@given(properties)
def test_what_others_encode_is_read_as_they_read_it(given_: commands.Basic.Properties) -> None:
    whole = said(given_)
    assert read(whole) == by_pamqp(whole)
    assert readable_header(whole) == whole
    settled(read(whole))


@given(properties, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=6), st.data())
def test_no_nonsense_in_properties_raises(
    given_: commands.Basic.Properties, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    payload = bytearray(said(given_)[7:-1])
    for place, byte in changes:
        payload[12 + place % (len(payload) - 12)] = byte
    whole = framed(bytes(payload[: data.draw(st.integers(14, len(payload)))]))
    settled(read(whole))
    frame.unmarshal(readable_header(whole))
    reader = Reader()
    announced = frame.marshal(commands.Basic.Deliver("c1", 1, False, "x", "orders"), 1)
    rest = frame.marshal(body.ContentBody(b"1"), 1)
    one = struct.pack(">Q", 1)
    whole = whole[:11] + one + whole[19:]
    reader.reader.feed_data(announced + whole + rest + delivery(2, b"2"))
    assert [(it.tag, it.body) for it in reader.got] == [(1, b"1"), (2, b"2")]
    assert reader.passed() == b""


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (b"\x04nameS\x00\x00\x00\x02J\xfc", {"name": b"J\xfc"}),
        (b"\x02\xff\xe9I\x00\x00\x00\x01", {"\ufffd\ufffd": 1}),
        (
            b"\x01\xffF\x00\x00\x00\x09\x01aS\x00\x00\x00\x02J\xfc" + b"\x01bS\x00\x00\x00\x01\xfc",
            {"\ufffd": {"a": b"J\xfc"}, "b": b"\xfc"},
        ),
        (b"\x01tT" + HUGE, {"t": 1_795_363_852_929_000}),
        (b"\x01tT" + struct.pack(">Q", 1_800_000_000_000), {"t": datetime.fromtimestamp(1_800_000_000, UTC)}),
        (b"\x01dD\x02\x00\x00\x00\x07", {"d": Decimal("0.07")}),
    ],
)
def test_what_others_can_t_say_is_read_as_near_as_can_be(table: bytes, found: dict[str, Any]) -> None:
    whole = with_table(table)
    assert read(whole) == Properties(found)
    job = settled(read(whole))
    assert isinstance(job, Envelope)
    assert by_pamqp(readable_header(whole)).headers.keys() == found.keys()


def test_tables_within_tables_are_read_only_so_deep() -> None:
    def nested(depth: int) -> bytes:
        table = b""
        for _ in range(depth):
            table = b"\x01aF" + struct.pack(">I", len(table)) + table
        return with_table(table)

    assert read(nested(DEEPEST)) == by_pamqp(nested(DEEPEST))
    for depth in (DEEPEST + 1, 5000):
        assert read(nested(depth)) is UNREADABLE
        assert by_pamqp(readable_header(nested(depth))) == UNREADABLE
        job = settled(read(nested(depth)))
        assert isinstance(job, Invalid)
        assert "can't be read" in job.why


@pytest.mark.parametrize(
    "given_",
    [
        commands.Basic.Deliver("c2", 3, True, "XX", "XX"),
        commands.Basic.GetOk(3, True, "XX", "XX", 5),
        commands.Basic.Return(312, "NO_ROUTE", "XX", "XX"),
    ],
)
def test_names_that_are_not_utf_8_are_made_readable(given_: commands.Basic.GetOk) -> None:
    whole = frame.marshal(given_, 1)
    assert readable_method(whole) == whole
    reader = Reader()
    reader.reader.feed_data(whole.replace(b"XX", b"\xffX"))
    found = frame.unmarshal(reader.passed())[2]
    assert isinstance(found, type(given_))
    assert (found.exchange, found.routing_key) == ("?X", "?X")
    assert dict(found) == dict(given_) | {"exchange": "?X", "routing_key": "?X"}
