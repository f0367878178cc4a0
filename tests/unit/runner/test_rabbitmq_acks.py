"""Coalesced acknowledgements: everything finished is acknowledged once, nothing else ever."""

from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.commands import Basic

from workerpool.sources.rabbitmq.acks import Ack, Acks, ack_frames


class Broker:
    """What a broker makes of acknowledgements: those of tags that are not outstanding end the channel."""

    def __init__(self, delivered: int) -> None:
        self.outstanding = list(range(1, delivered + 1))
        self.acked: set[int] = set()

    def hear(self, ack: Ack) -> None:
        assert ack.tag in self.outstanding, f"unknown delivery tag {ack.tag}"
        taken = [tag for tag in self.outstanding if tag == ack.tag or (ack.multiple and tag < ack.tag)]
        self.outstanding = [tag for tag in self.outstanding if tag not in taken]
        self.acked |= set(taken)


def test_a_contiguous_prefix_is_one_acknowledgement() -> None:
    acks = Acks()
    for tag in (3, 1, 2):
        acks.done(tag)
    assert acks.take() == [Ack(3, multiple=True)]
    assert acks.take() == []


def test_an_unfinished_message_is_never_passed() -> None:
    acks = Acks()
    for tag in (1, 3, 4):
        acks.done(tag)
    assert acks.take() == [Ack(1, multiple=False), Ack(3, multiple=False), Ack(4, multiple=False)]
    acks.done(2)
    assert acks.take() == [Ack(2, multiple=False)]
    acks.done(5)
    acks.done(6)
    assert acks.take() == [Ack(6, multiple=True)]


def test_what_was_given_back_is_passed_over() -> None:
    acks = Acks()
    acks.gone(1)
    acks.done(2)
    acks.done(3)
    assert acks.take() == [Ack(3, multiple=True)]


@given(st.lists(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=12), max_size=8))
def test_any_order_acknowledges_exactly_what_is_finished(rounds: list[list[tuple[int, bool]]]) -> None:
    acks, broker = Acks(), Broker(30)
    finished: set[int] = set()
    returned: set[int] = set()
    for events in rounds:
        for tag, done in events:
            if tag in finished | returned:
                continue
            if done:
                acks.done(tag)
                finished.add(tag)
            else:
                broker.outstanding.remove(tag)
                acks.gone(tag)
                returned.add(tag)
        for ack in acks.take():
            broker.hear(ack)
        assert broker.acked == finished


def test_the_frames_are_what_a_library_would_write() -> None:
    acks = [Ack(7, multiple=True), Ack(2**40, multiple=False)]
    written = b"".join(frame.marshal(Basic.Ack(tag, multiple), 3) for tag, multiple in acks)
    assert ack_frames(3, acks) == written
