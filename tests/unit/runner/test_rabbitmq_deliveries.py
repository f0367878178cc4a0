"""The fast way in: whatever the chunks, deliveries reach their consumers and all else reaches aiormq."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header, heartbeat

from workerpool.sources.rabbitmq.deliveries import HEARTBEAT, SILENCE, Delivered, DeliveryReader
from workerpool.sources.rabbitmq.envelope import Properties

HEADERS: dict[str, Any] = {
    "workerpool-id": 2**62,
    "small": 5,
    "negative": -70_000,
    "text": "☃ é",
    "": "",
}


def delivery(tag: int, payload: bytes, label: str = "c1", channel: int = 1, **properties: Any) -> bytes:
    """The frames of one delivery; a body of several frames when it is long."""
    parts = [payload[start : start + 10] for start in range(0, len(payload), 10)]
    return b"".join(
        [
            frame.marshal(commands.Basic.Deliver(label, tag, False, "x", "orders"), channel),
            frame.marshal(header.ContentHeader(0, len(payload), commands.Basic.Properties(**properties)), channel),
            *(frame.marshal(body.ContentBody(part), channel) for part in parts),
        ]
    )


class Reader:
    """A reader of a stream with one consumer, whose clock the test moves."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.reader = DeliveryReader(self.loop)
        self.got: list[Delivered] = []
        self.reader.consumers[b"c1"] = self.got.append

    def passed(self) -> bytes:
        self.reader.feed_eof()
        try:
            return self.loop.run_until_complete(self.reader.read())
        finally:
            self.loop.close()


OTHERS = frame.marshal(commands.Queue.DeclareOk("q", 1, 2), 1) + frame.marshal(heartbeat.Heartbeat(), 0)


@given(st.lists(st.integers(1, 400), max_size=8))
def test_any_cut_of_the_stream_gives_the_same(cuts: list[int]) -> None:
    reader = Reader()
    foreign = delivery(9, b"not ours", "c2", channel=2)
    stream = OTHERS + delivery(1, b'{"n": 1}', headers=HEADERS, message_id="m") + foreign + delivery(2, b"") + OTHERS
    stream += delivery(3, b"a body of several frames", content_type="text/plain", delivery_mode=2, priority=4)
    start = 0
    for size in cuts:
        reader.reader.feed_data(stream[start : start + size])
        start += size
    reader.reader.feed_data(stream[start:])
    assert [(it.tag, it.body) for it in reader.got] == [(1, b'{"n": 1}'), (2, b""), (3, b"a body of several frames")]
    assert reader.got[0].properties == Properties(HEADERS, message_id="m")
    assert reader.got[2].properties.content_type == "text/plain"
    assert (reader.got[0].exchange, reader.got[0].routing_key) == ("x", "orders")
    assert reader.passed() == OTHERS + foreign + OTHERS


def test_every_property_is_found_behind_the_others() -> None:
    reader = Reader()
    sent = datetime(2027, 1, 15, tzinfo=UTC)
    reader.reader.feed_data(
        delivery(
            1,
            b"1",
            content_type="application/json",
            content_encoding="utf-8",
            headers={"list": [1, "a"], "when": sent, "flag": True, "table": {"a": 1}, "x-death": [{"count": 1}]},
            delivery_mode=2,
            priority=1,
            correlation_id="c",
            reply_to="r",
            expiration="1",
            message_id="m",
            timestamp=sent,
            app_id="a",
        )
    )
    [it] = reader.got
    assert it.properties == Properties(
        {"list": [1, "a"], "when": sent, "flag": True, "table": {"a": 1}, "x-death": [{"count": 1}]},
        "application/json",
        "utf-8",
        "m",
        sent,
    )
    assert reader.passed() == b""


@given(st.data())
def test_consumers_may_come_in_the_middle_of_a_frame(data: st.DataObject) -> None:
    """What came before them, whole or in part, goes on to aiormq; what comes behind it is cut where it should be."""
    before = OTHERS + delivery(8, b"not ours " * 5, "c2", channel=2) + OTHERS
    stream = before + delivery(1, b"1") + OTHERS
    reader = Reader()
    deliver = reader.reader.consumers.pop(b"c1")
    cut = data.draw(st.integers(0, len(before)))
    reader.reader.feed_data(stream[:cut])
    reader.reader.consumers[b"c1"] = deliver
    further = data.draw(st.integers(cut, len(stream)))
    reader.reader.feed_data(stream[cut:further])
    reader.reader.feed_data(stream[further:])
    assert [it.tag for it in reader.got] == [1]
    assert reader.passed() == before + OTHERS


@given(st.binary(max_size=60), st.lists(st.integers(1, 50), max_size=5))
def test_what_is_no_frame_goes_on_as_it_came(nonsense: bytes, cuts: list[int]) -> None:
    reader = Reader()
    stream = OTHERS + delivery(1, b"1") + b"H" + nonsense
    start = 0
    for size in cuts:
        reader.reader.feed_data(stream[start : start + size])
        start += size
    reader.reader.feed_data(stream[start:])
    assert [it.tag for it in reader.got] == [1]
    assert reader.passed() == OTHERS + b"H" + nonsense


def test_a_frame_without_its_end_ends_the_cutting() -> None:
    reader = Reader()
    broken = delivery(1, b"1")[:-1] + b"\x00"
    reader.reader.feed_data(broken)
    reader.reader.feed_data(delivery(2, b"2"))
    assert reader.got == []
    assert reader.passed().endswith(b"\x00" + delivery(2, b"2"))


def test_a_delivery_that_ends_early_leaves_the_channel_to_the_next(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    given_up = delivery(1, b"a body of several frames")[:-12]
    reader.reader.feed_data(given_up + OTHERS + delivery(2, b"2"))
    assert [it.tag for it in reader.got] == [2]
    assert reader.passed() == OTHERS
    assert not caplog.records


def test_a_consumer_that_fails_costs_nobody_else_a_delivery(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()

    def fail(message: Delivered) -> None:
        raise LookupError(message.tag)

    reader.reader.consumers[b"c2"] = fail
    reader.reader.feed_data(delivery(1, b"1", "c2") + delivery(2, b"2") + OTHERS)
    assert [it.tag for it in reader.got] == [2]
    assert reader.passed() == OTHERS
    assert "Delivery 1 was not taken" in caplog.text


def test_half_a_frame_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    now = reader.loop.time()
    monkeypatch.setattr(reader.reader, "_loop_time", lambda: now + SILENCE + 1)
    half = delivery(1, b"1")[:20]
    reader.reader.feed_data(half)
    assert reader.passed() == half


def test_nothing_is_touched_before_there_are_consumers() -> None:
    reader = Reader()
    reader.reader.consumers.clear()
    stream = b"AMQP\x00\x00\x09\x01" + delivery(1, b"1")
    reader.reader.feed_data(stream)
    assert reader.passed() == stream


def test_a_connection_with_nothing_but_deliveries_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    now = reader.loop.time()
    monkeypatch.setattr(reader.reader, "_loop_time", lambda: now + SILENCE + 1)
    reader.reader.feed_data(delivery(1, b"1"))
    reader.reader.feed_data(delivery(2, b"2"))
    assert reader.passed() == HEARTBEAT
