"""What was settled is known again at once, however much was settled since; without a broker."""

from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope
from workerpool.sources.rabbitmq.holding import REMEMBERED, Holding
from workerpool.sources.rabbitmq.link import Link


class _Id(str):
    """A message id that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        _Id.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def _delivery(number: int, lane: str = "orders") -> Delivery:
    return Delivery(0, number, lane, Envelope("orders", number, "1", 0), _Id(number), 0, 0.0, 0)


async def test_the_latest_are_remembered_and_looked_up_without_a_search() -> None:
    holding = Holding(Link(Endpoint("amqp://localhost/x"), name="test"))
    # Of an older epoch: nothing is acknowledged on a channel.
    holding.link.epoch = 1
    await holding.ack(_delivery(number) for number in range(REMEMBERED))
    await holding.ack([_delivery(0)])
    _Id.compared = 0
    assert holding.was_settled(_delivery(REMEMBERED - 1))
    assert not holding.was_settled(_delivery(REMEMBERED))
    assert not holding.was_settled(_delivery(5, "orders.high"))
    assert _Id.compared < 20
    await holding.ack([_delivery(REMEMBERED)])
    assert [holding.was_settled(_delivery(number)) for number in (0, 1, 2, REMEMBERED)] == [True, False, True, True]
